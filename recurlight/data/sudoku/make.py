"""Generated Sudoku data sets."""

from __future__ import annotations

from functools import partial

import numpy as np

from recurlight.data.base import Splits
from recurlight.data.sources.generated import Tokens, cached_splits, make_texts
from recurlight.data.split import fingerprints
from recurlight.data.sudoku import generate as sudoku_generate
from recurlight.data.sudoku.generate import SYMBOLS, VERSION, make_puzzle
from recurlight.data.sudoku.rules import invariant

__all__ = ["generated", "make_puzzles", "token_arrays"]

_TOKENS = np.zeros(256, dtype=np.uint8)
_TOKENS[np.frombuffer(SYMBOLS.encode(), dtype=np.uint8)] = np.arange(1, len(SYMBOLS) + 1)


def token_arrays(texts: list[str]) -> Tokens:
    """Turn grids of one size, written in `SYMBOLS`, into tokens, `(n, L)` uint8."""
    tokens = _TOKENS[np.frombuffer("".join(texts).encode(), dtype=np.uint8)]
    return tokens.reshape(len(texts), len(texts[0]) if texts else 0)


def make_puzzles(size: int, seed: int, indices: range, cores: int | None = None) -> tuple[Tokens, Tokens]:
    """Make the puzzles of a seed with the given numbers.

    Args:
        size: 4, 6, 9 or 16.
        seed: Any integer.
        indices: Numbers of the puzzles, step 1.
        cores: Processes to use; None for all cores.

    Returns:
        Questions and answers, each `(n, size * size)` uint8 tokens; the same for any number of cores.

    Example:
        >>> questions, answers = make_puzzles(4, seed=0, indices=range(3), cores=1)
        >>> questions.shape, answers.shape
        ((3, 16), (3, 16))
    """
    script = sudoku_generate.__file__
    pairs = make_texts(script, (size, seed), partial(make_puzzle, size, seed), indices, cores)
    questions, answers = (token_arrays([pair[part] for pair in pairs]) for part in (0, 1))
    return questions.reshape(-1, size * size), answers.reshape(-1, size * size)  # also where there are none


def generated(size: int, seed: int, counts: tuple[int, int, int]) -> Splits:
    """Return generated splits, from the cache if they were made before.

    No two puzzles are the same, in one split or over splits: up to symmetry from size 6, literally in size 4.

    Raises:
        DataError: There are not so many puzzles of that size.
    """
    return cached_splits(
        f"sudoku-{size}x{size}",
        (VERSION, size, seed),
        counts,
        lambda numbers: make_puzzles(size, seed, numbers),
        # Size 4 has 36 classes up to symmetry, too few for a data set.
        (lambda puzzles: invariant(puzzles.inputs, size)) if size > 4 else fingerprints,
        f"puzzles of size {size}",
        "lower data.num_train or set data.size to 6 or 9",
    )

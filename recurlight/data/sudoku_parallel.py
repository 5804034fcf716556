"""Generated Sudoku data sets: many puzzles on all cores, none twice, kept on disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray

from recurlight.data import sudoku_generate
from recurlight.data.base import Splits
from recurlight.data.cache import cache_folder, load_arrays, save_arrays
from recurlight.data.stream import Puzzles
from recurlight.data.sudoku_generate import SYMBOLS, VERSION, make_puzzle
from recurlight.data.sudoku_rules import invariant
from recurlight.errors import DataError

__all__ = ["generated", "make_puzzles", "token_arrays"]

_WORTH_PROCESSES = 32
_TOKENS = np.zeros(256, dtype=np.uint8)
_TOKENS[np.frombuffer(SYMBOLS.encode(), dtype=np.uint8)] = np.arange(1, len(SYMBOLS) + 1)


def token_arrays(texts: list[str]) -> NDArray[np.uint8]:
    """Turn grids written in `SYMBOLS` into tokens, `(n, L)` uint8."""
    return np.stack([_TOKENS[np.frombuffer(text.encode(), dtype=np.uint8)] for text in texts])


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _worker(size: int, seed: int, indices: range) -> list[list[str]]:
    """Make the puzzles of `indices` in another process.

    It runs the generator's file rather than a `multiprocessing` pool: that would import the caller's script
    again (and torch), and fork is not safe beside threads.
    """
    bounds = (size, seed, indices.start, indices.stop, indices.step)
    command = [sys.executable, "-I", sudoku_generate.__file__, *map(str, bounds)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.split() for line in lines]


def make_puzzles(
    size: int, seed: int, indices: range, cores: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
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
    cores = _cores() if cores is None else cores
    if cores == 1 or len(indices) < _WORTH_PROCESSES:
        pairs = [list(make_puzzle(size, seed, index)) for index in indices]
    else:
        parts = [indices[core::cores] for core in range(cores)]
        with ThreadPoolExecutor(cores) as pool:
            made = list(pool.map(lambda part: _worker(size, seed, part), parts))
        pairs = [made[place % cores][place // cores] for place in range(len(indices))]
    return token_arrays([question for question, _ in pairs]), token_arrays([answer for _, answer in pairs])


def _identity(questions: NDArray[np.uint8], size: int) -> NDArray[Any]:
    """What must not repeat: the class up to symmetry; in size 4, which has 36 classes, the puzzle."""
    if size > 4:
        return invariant(questions, size)
    return np.ascontiguousarray(questions).view("V16")[:, 0]


def _distinct(size: int, seed: int, count: int) -> dict[str, NDArray[np.uint8]]:
    """Make `count` puzzles of which no two are the same."""
    questions = answers = np.zeros((0, size * size), dtype=np.uint8)
    done = 0
    while len(questions) < count:
        missing = count - len(questions)
        indices = range(done, done + missing + missing // 8 + 1)
        done = indices.stop
        if done > 50 * count + 1000:
            raise DataError(
                f"only {len(questions)} different puzzles of size {size} were found for {count}: "
                "lower data.num_train or set data.size to 6 or 9"
            )
        made = make_puzzles(size, seed, indices)
        questions, answers = np.concatenate([questions, made[0]]), np.concatenate([answers, made[1]])
        first = np.sort(np.unique(_identity(questions, size), return_index=True)[1])
        questions, answers = questions[first], answers[first]
    return {"questions": questions[:count], "answers": answers[:count]}


def generated(size: int, seed: int, num_train: int, num_val: int, num_test: int) -> Splits:
    """Return generated splits, from the cache if they were made before.

    No two puzzles are the same, in one split or over splits: up to symmetry from size 6, literally in size 4.

    Raises:
        DataError: There are not so many puzzles of that size.
    """
    counts = (num_train, num_val, num_test)
    name = hashlib.sha256(repr((VERSION, size, seed, counts)).encode()).hexdigest()[:16]
    path = cache_folder() / f"sudoku-{size}x{size}-{name}.npz"
    if not path.exists():
        rank_zero_info(f"Making {sum(counts):,} Sudoku puzzles of size {size}, kept in {path}")
        save_arrays(path, **_distinct(size, seed, sum(counts)))
    arrays = load_arrays(path)
    task = np.zeros(sum(counts), dtype=np.uint8)
    puzzles = Puzzles(arrays["questions"], arrays["answers"], task)
    ends = np.cumsum(counts)
    return Splits(*(puzzles.rows(slice(end - count, end)) for end, count in zip(ends, counts, strict=True)))

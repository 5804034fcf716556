"""Generated maze data sets."""

from __future__ import annotations

import numpy as np

from recurlight.data.base import Splits
from recurlight.data.maze import generate as maze_generate
from recurlight.data.maze.generate import TRIES, VERSION, make_maze
from recurlight.data.maze.read import maze_tokens
from recurlight.data.maze.rules import invariant
from recurlight.data.sources.generated import Tokens, cached_splits, make_texts
from recurlight.errors import DataError

__all__ = ["generated", "make_mazes"]


def make_mazes(
    size: int, min_path: int, seed: int, indices: range, cores: int | None = None
) -> tuple[Tokens, Tokens]:
    """Make the mazes of a seed with the given numbers.

    Args:
        size: Rows and columns.
        min_path: Least number of steps from start to goal.
        seed: Any integer.
        indices: Numbers of the mazes, step 1.
        cores: Processes to use; None for all cores.

    Returns:
        Questions and answers, each `(n, size * size)` uint8 tokens; the same for any number of cores.

    Raises:
        DataError: Such long paths are too rare to be found.

    Example:
        >>> questions, answers = make_mazes(8, 8, seed=0, indices=range(3), cores=1)
        >>> questions.shape, answers.shape
        ((3, 64), (3, 64))
    """
    impossible = DataError(
        f"no maze of size {size} with a path of {min_path} steps was found among {TRIES}: "
        "lower data.min_path, or set it to null"
    )

    def make(index: int) -> tuple[str, str]:
        maze = make_maze(size, min_path, seed, index)
        if maze is None:
            raise impossible
        return maze

    pairs = make_texts(maze_generate.__file__, (size, min_path, seed), make, indices, cores)
    if any(len(pair) < 2 for pair in pairs):  # a worker's
        raise impossible
    questions, answers = ([pair[part] for pair in pairs] for part in (0, 1))
    return _tokens(questions, size), _tokens(answers, size)


def _tokens(texts: list[str], size: int) -> Tokens:
    return maze_tokens(np.frombuffer("".join(texts).encode(), dtype=np.uint8)).reshape(-1, size * size)


def generated(size: int, min_path: int, seed: int, counts: tuple[int, int, int]) -> Splits:
    """Return generated splits, from the cache if they were made before.

    No two mazes are the same up to turning and mirroring, in one split or over splits.

    Raises:
        DataError: There are not so many mazes, or such long paths are too rare to be found.
    """
    return cached_splits(
        f"maze-{size}x{size}",
        (VERSION, size, min_path, seed),
        counts,
        lambda numbers: make_mazes(size, min_path, seed, numbers),
        lambda puzzles: invariant(puzzles.inputs, size),
        f"mazes of size {size}",
        "lower data.num_train or raise data.size",
    )

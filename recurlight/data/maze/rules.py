"""Rules and symmetries of mazes on token arrays: 0 pad, 1 wall, 2 open, 3 start, 4 goal, 5 path."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurlight.data.counter import UInt64, draws, mix
from recurlight.data.puzzles import Puzzles
from recurlight.data.rules import Rules
from recurlight.data.symmetry import Symmetry, square_turns

__all__ = [
    "GOAL",
    "OPEN",
    "PATH",
    "START",
    "WALL",
    "MazeRules",
    "augment",
    "drawn_steps",
    "invariant",
    "shortest_steps",
    "symmetry",
]

WALL, OPEN, START, GOAL, PATH = range(1, 6)
_CHUNK = 1024


def _steps(free: NDArray[np.bool_], starts: NDArray[np.int64], goals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps of the shortest path over free cells, -1 where there is none.

    Args:
        free: `(n, size, size)`; each maze gets a wall above, below and to its right, and then all of them
            are searched as one long row of cells.
        starts: Cells `size * row + column`, `(n,)`.
        goals: Likewise.
    """
    count, size, w = len(free), free.shape[-1], free.shape[-1] + 1
    left = np.pad(free, ((0, 0), (1, 1), (0, 1))).reshape(-1)  # cells that were not reached yet
    first = np.arange(count) * (size + 2) * w + w
    starts, goals = (first + cells // size * w + cells % size for cells in (starts, goals))
    reached = np.zeros_like(left)
    reached[starts] = True
    left[starts] = False
    found = np.where(starts == goals, 0, -1)
    for step in range(1, size * size):
        near = np.zeros_like(left)
        for shift in (1, w):
            near[shift:] |= reached[:-shift]
            near[:-shift] |= reached[shift:]
        near &= left
        left ^= near
        reached = near
        found[near[goals]] = step
        if not near.any() or (found >= 0).all():
            break
    return found


def _search(free: NDArray[np.bool_], questions: NDArray[Any]) -> NDArray[np.int64]:
    """Steps from each question's start to its goal over free cells, `(n, L)`; -1 where there is no way."""
    size = int(free.shape[1] ** 0.5)
    found = [
        _steps(
            free[at : at + _CHUNK].reshape(-1, size, size),
            *((questions[at : at + _CHUNK] == token).argmax(axis=1) for token in (START, GOAL)),
        )
        for at in range(0, len(free), _CHUNK)
    ]
    return np.concatenate([np.zeros(0, dtype=np.int64), *found])


def shortest_steps(questions: NDArray[Any]) -> NDArray[np.int64]:
    """Return the steps of each maze's shortest path, -1 where the goal cannot be reached.

    Args:
        questions: `(n, L)` tokens of square mazes, each with one start and one goal.

    Returns:
        `(n,)` int64.

    Example:
        >>> shortest_steps(np.array([[3, 1, 4, 2, 1, 2, 2, 2, 2]]))
        array([6])
    """
    return _search(questions != WALL, questions)


def drawn_steps(questions: NDArray[Any], answers: NDArray[Any]) -> NDArray[np.int64]:
    """Return the steps of the path drawn in each answer, -1 where it is no valid one.

    A path is valid when the question's open cells are open or path and all other cells as they were, and the
    path cells are one path from start to goal: the shortest way over them visits all of them. A path that
    touches itself is not valid, for its cells do not say in which order to walk them.

    Args:
        questions: `(n, L)` tokens of square mazes, each with one start and one goal.
        answers: `(n, L)` tokens.

    Returns:
        `(n,)` int64.

    Example:
        >>> question = np.array([[3, 1, 4, 2, 1, 2, 2, 2, 2]])
        >>> around = np.array([[3, 1, 4, 5, 1, 5, 5, 5, 5]])
        >>> through_the_wall = np.array([[3, 5, 4, 2, 1, 2, 2, 2, 2]])
        >>> drawn_steps(question, around), drawn_steps(question, through_the_wall)
        (array([6]), array([-1]))
    """
    kept = ((answers == questions) | (questions == OPEN) & (answers == PATH)).all(axis=1)
    route = (answers == PATH) | (questions == START) | (questions == GOAL)
    steps = np.full(len(questions), -1)
    steps[kept] = _search(route[kept], questions[kept])
    return np.where(steps == route.sum(axis=1) - 1, steps, -1)


class MazeRules(Rules):
    """The maze stays as it is, and the path cells are one path from start to goal; none is shorter.

    Of several shortest paths all hold, and the labels have one: so exact accuracy may be below the share for
    which the rules hold. Paths are searched on the CPU.

    Example:
        >>> maze = torch.tensor([[3, 2, 2, 4]]).repeat(2, 1)
        >>> MazeRules().holds(maze, torch.tensor([[3, 2, 5, 4], [3, 2, 2, 4]]))
        tensor([ True, False])
    """

    def holds(self, questions: Tensor, answers: Tensor) -> Tensor:
        """Tell which answers are shortest paths through their mazes, `(B,)` bool.

        Args:
            questions: Mazes, `(B, L)` tokens.
            answers: Tokens of the same shape.
        """
        mazes, drawn = questions.cpu().numpy(), answers.cpu().numpy()
        steps = drawn_steps(mazes, drawn)
        right = steps >= 0
        right[right] = steps[right] == shortest_steps(mazes[right])
        return torch.from_numpy(right).to(answers.device)


def augment(puzzles: Puzzles, keys: UInt64, *, size: int) -> Puzzles:
    """Turn and mirror each maze: one of the 8 symmetries of the square for each key.

    Args:
        puzzles: `(B, size * size)` tokens.
        keys: `(B,)` uint64; equal keys draw equal symmetries.
        size: Rows and columns.

    Returns:
        Puzzles of the same shapes and dtypes; shortest paths stay shortest paths.

    Example:
        >>> maze = np.arange(9)[None]
        >>> puzzles = Puzzles(maze, maze, np.zeros(1, dtype=np.uint8))
        >>> sorted(augment(puzzles, np.array([7], dtype=np.uint64), size=3).labels[0].tolist())
        [0, 1, 2, 3, 4, 5, 6, 7, 8]
    """
    cells = _turned(keys, size)
    inputs, labels = (np.take_along_axis(tokens, cells, axis=1) for tokens in puzzles[:2])
    return Puzzles(inputs, labels, puzzles.task)


def symmetry(questions: NDArray[Any], keys: UInt64, *, size: int) -> Symmetry:
    """Draw the symmetries by which `augment` varies mazes.

    Args:
        questions: `(B, size * size)` tokens.
        keys: `(B,)` uint64; equal keys draw equal symmetries.
        size: Rows and columns.
    """
    return Symmetry.of(_turned(keys, size), np.arange(PATH + 1))


def _turned(keys: UInt64, size: int) -> NDArray[np.int64]:
    """Where each cell comes from, `(B, L)`."""
    return square_turns(size)[(draws(keys, 0, 1)[:, 0] >> np.uint64(61)).astype(np.int64)]


def invariant(questions: NDArray[Any], size: int) -> UInt64:
    """Hash mazes so that mazes equal up to turning and mirroring have equal hashes.

    Each of the 8 images is hashed to the sum of random numbers for its pairs of cell and token; the least
    hash stands for all.

    Args:
        questions: `(n, size * size)` tokens.
        size: Rows and columns.

    Returns:
        `(n,)` uint64.

    Reference:
        Zobrist, "A new hashing method with application for game playing", 1970.
    """
    numbers = mix(np.arange(8 * size * size, dtype=np.uint64)).reshape(-1, 8)  # (L, tokens)
    hashes = np.full(len(questions), np.iinfo(np.uint64).max, dtype=np.uint64)
    for at in range(0, len(questions), _CHUNK):
        some = slice(at, at + _CHUNK)
        for cells in square_turns(size):
            image = numbers[np.arange(len(cells)), questions[some][:, cells]].sum(axis=1, dtype=np.uint64)
            hashes[some] = np.minimum(hashes[some], image)
    return hashes

"""Completing a board of queens that do not attack each other."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurlight.data.counter import UInt64, draws
from recurlight.data.sequences.base import Questions, SequenceData
from recurlight.data.sequences.rules import EMPTY, QUEEN, QueensRules
from recurlight.data.symmetry import Symmetry, SymmetryGroup, square_turns
from recurlight.errors import DataError

__all__ = ["QueensData", "boards"]

_LARGEST = 12


@lru_cache(maxsize=_LARGEST)
def boards(length: int) -> NDArray[np.int8]:
    """Return every board of `length` queens that do not attack each other, as columns by row, `(n, length)`.

    Example:
        >>> boards(4).tolist()
        [[1, 3, 0, 2], [2, 0, 3, 1]]
        >>> [len(boards(length)) for length in (5, 6, 7, 8)]
        [10, 4, 40, 92]
    """
    columns = np.arange(length)
    found = np.zeros((1, 0), dtype=np.int8)
    for row in range(length):
        distance = (row - np.arange(row))[:, None]
        apart = found[:, :, None] - columns  # (n, row, length)
        free = ((apart != 0) & (abs(apart) != distance)).all(axis=1)
        partial, column = np.nonzero(free)
        found = np.concatenate([found[partial], column[:, None].astype(np.int8)], axis=1)
    return found


class QueensData(SequenceData):
    """Boards of `length x length` cells with some queens, to be filled up with the others.

    No two of the `length` queens share a row, a column or a diagonal. Queens of a drawn solution are shown in
    a drawn order, just until no other solution has them all: each question has one answer. Tokens: 0 pad,
    1 empty or unknown, 2 queen.

    The board of 6 has 4 solutions only, that of 8 has 92, that of 10 has 724, that of 12 has 14,200. So small
    boards have few questions: for an honest test lower `num_val` and `num_test` or take a larger board.

    Args:
        settings: Those of `SequenceData` and `PuzzleData`, such as `length`, here 4 to 12, `eval_lengths`,
            `batch_size`.

    Raises:
        DataError: A setting is out of range.

    Example:
        >>> data = QueensData(length=5, num_train=10, num_val=2, num_test=2)
        >>> print(data.render(data.splits.train.labels[0]))
        - - - Q -
        - Q - - -
        - - - - Q
        - - Q - -
        Q - - - -
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(symbols="-Q", **settings)
        for length in (self.min_length, *self.eval_lengths, self.length):
            if not 4 <= length <= _LARGEST:
                raise DataError(
                    f"a board of queens has length 4 to {_LARGEST}, not {length}: change data.length, "
                    "data.min_length or data.eval_lengths"
                )

    def shape(self, length: int) -> tuple[int, int]:
        """A square board."""
        return length, length

    def sample(self, length: int, keys: UInt64) -> Questions:
        """Draw solutions and show as many of their queens as it takes."""
        every = boards(length)
        solutions = every[(draws(keys, 0, 1)[:, 0] % np.uint64(len(every))).astype(np.int64)]
        orders = draws(keys, 1, length).argsort(axis=1)  # rows, first shown first
        needed = [_needed(every, *pair) for pair in zip(solutions, orders, strict=True)]
        shown = orders.argsort(axis=1) < np.reshape(needed, (-1, 1))  # (n, rows)
        answers = np.where(solutions[:, :, None] == np.arange(length), QUEEN, EMPTY)
        return Questions(np.where(shown[:, :, None], answers, EMPTY), answers)

    def symmetry_group(self) -> SymmetryGroup:
        """Return the 8 symmetries of the board."""
        return partial(_turned, size=self.grid_shape[0])

    def rules(self) -> QueensRules:
        """Return the rules of queens: those shown stay, and no two attack each other."""
        return QueensRules()


def _turned(questions: NDArray[Any], keys: UInt64, *, size: int) -> Symmetry:
    """Turn and mirror each board, of whatever length and at whatever place of its canvas."""
    drawn = (draws(keys, 0, 1)[:, 0] >> np.uint64(61)).astype(np.int64)  # 0 to 7
    cells = np.tile(np.arange(size * size), (len(keys), 1))
    lengths = np.sqrt((questions != 0).sum(axis=1)).astype(np.int64)
    corners = (questions != 0).argmax(axis=1)
    for length in np.unique(lengths[lengths > 0]):
        here = np.flatnonzero(lengths == length)
        own = (np.arange(length)[:, None] * size + np.arange(length)).reshape(-1)
        board = corners[here, None] + own  # (b, length^2): cells of the canvas
        turned = np.take_along_axis(board, square_turns(int(length))[drawn[here]], axis=1)
        cells[here[:, None], board] = turned
    return Symmetry.of(cells, np.arange(QUEEN + 1))


def _needed(every: NDArray[np.int8], solution: NDArray[np.int8], order: NDArray[np.int64]) -> int:
    """Count the queens, in an order of rows, until `solution` is the only board that has them all."""
    alike = every[every[:, order[0]] == solution[order[0]]]
    agree = np.logical_and.accumulate(alike[:, order] == solution[order], axis=1)
    return int((agree.sum(axis=0) > 1).sum()) + 1

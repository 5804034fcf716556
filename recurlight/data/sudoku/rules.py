"""Rules and symmetries of Sudoku on token arrays: 0 pad, 1 blank, 2 and up the digits."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurlight.data.counter import UInt64, mix
from recurlight.data.sudoku.generate import BOXES

__all__ = ["BLANK", "contradicted", "invariant", "solved"]

BLANK = 1
"""Token of an empty cell; digit `d` is token `d + 1`."""
_ROUNDS = 4
_CHUNK = 2048


@lru_cache(maxsize=4)
def _units(size: int) -> NDArray[np.int64]:
    """Cells of every row, column and box, `(3 * size, size)`."""
    height, width = BOXES[size]
    grid = np.arange(size * size).reshape(size, size)
    boxes = grid.reshape(size // height, height, size // width, width).swapaxes(1, 2).reshape(size, size)
    return np.concatenate([grid, grid.T, boxes])


def solved(answers: NDArray[Any], size: int) -> NDArray[np.bool_]:
    """Whether every row, column and box holds each digit once.

    Args:
        answers: `(n, size * size)` tokens.
        size: 4, 6, 9 or 16.

    Returns:
        `(n,)` bool.
    """
    goal = (1 << size) - 1
    bits = np.left_shift(1, np.clip(answers.astype(np.int32) - 2, 0, size - 1), dtype=np.int32)
    full = np.asarray(((answers >= 2) & (answers < size + 2)).all(axis=1))
    for unit in _units(size):
        full &= np.bitwise_or.reduce(bits[:, unit], axis=1) == goal
    return full


def contradicted(questions: NDArray[Any], answers: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether some clue of the question differs from the answer; `(n, L)` tokens to `(n,)` bool."""
    return np.asarray(((questions != BLANK) & (questions != answers)).any(axis=1))


def invariant(questions: NDArray[Any], size: int) -> UInt64:
    """Hash puzzles so that puzzles equal up to symmetry have equal hashes.

    Colors of clues, rows, columns, boxes, bands, stacks and digits are refined a few rounds from their
    neighbors' colors; the hash is the sum of the clues' last colors. Relabelling digits, moving rows,
    columns, bands and stacks, and transposing a grid of square boxes leave it as it is. Puzzles with equal
    hashes are *treated* as equal: the rare pair that refinement cannot tell apart costs one puzzle.

    Args:
        questions: `(n, size * size)` tokens.
        size: 4, 6, 9 or 16.

    Returns:
        `(n,)` uint64.

    Reference:
        Weisfeiler and Leman, "The reduction of a graph to canonical form", 1968.
    """
    chunks = [_refined(questions[at : at + _CHUNK], size) for at in range(0, len(questions), _CHUNK)]
    return np.concatenate([np.zeros(0, dtype=np.uint64), *chunks])


def _refined(questions: NDArray[Any], size: int) -> UInt64:
    height, width = BOXES[size]
    bands, stacks = size // height, size // width
    column_salt = np.uint64(0 if height == width else 1)  # transposition maps rows to columns in square boxes
    grid = questions.reshape(-1, size, size)
    clue = (grid != BLANK).astype(np.uint64)
    onehot = (
        grid[:, None] == np.arange(2, size + 2, dtype=grid.dtype)[:, None, None]
    )  # (n, digit, row, column)
    boxed = (-1, bands, height, stacks, width)
    color = clue.copy()
    for _ in range(_ROUNDS):
        seen = mix(color) * clue
        rows, columns = seen.sum(axis=2), seen.sum(axis=1)
        box = np.repeat(np.repeat(mix(seen.reshape(boxed).sum(axis=(2, 4))), height, axis=1), width, axis=2)
        digit = mix(np.where(onehot, seen[:, None], np.uint64(0)).sum(axis=(2, 3)))  # (n, digit)
        digit = (onehot * digit[:, :, None, None]).sum(axis=1, dtype=np.uint64)
        line = (
            _lines(rows, height, np.uint64(0))[:, :, None] + _lines(columns, width, column_salt)[:, None, :]
        )
        color = mix(mix(line) + np.uint64(3) * box + np.uint64(5) * digit + np.uint64(7) * color)
    return np.asarray((mix(color) * clue).sum(axis=(1, 2), dtype=np.uint64))


def _lines(lines: UInt64, together: int, salt: np.uint64) -> UInt64:
    """Colors of rows (or columns) from their clues and from the other lines of their band; `(n, size)`."""
    own = mix(lines)
    band = own.reshape(len(own), -1, together).sum(axis=2, dtype=np.uint64)
    return mix(own + mix(np.repeat(band, together, axis=1) ^ salt))

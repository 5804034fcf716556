"""Symmetries of Sudoku, drawn from one key for each sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recurlight.data.order import UInt64, draws
from recurlight.data.stream import Puzzles
from recurlight.data.sudoku_generate import BOXES

__all__ = ["augment"]

_DIGITS, _BANDS, _ROWS, _STACKS, _COLUMNS, _TRANSPOSE = range(6)


def augment(puzzles: Puzzles, keys: UInt64, *, size: int) -> Puzzles:
    """Relabel the digits, move bands, rows, stacks and columns, and transpose where boxes are square.

    `new[i, j] = digits[old[rows[i], columns[j]]]`, and its transpose for half of the keys

    Args:
        puzzles: `(B, size * size)` tokens.
        keys: `(B,)` uint64; equal keys draw equal symmetries.
        size: 4, 6, 9 or 16.

    Returns:
        Puzzles of the same shapes and dtypes. Solutions stay solutions, clues stay clues.

    Example:
        >>> grid = np.array([[2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2]], dtype=np.uint8)
        >>> puzzles = Puzzles(grid, grid, np.zeros(1, dtype=np.uint8))
        >>> augment(puzzles, np.array([7], dtype=np.uint64), size=4).labels.shape
        (1, 16)
    """
    height, width = BOXES[size]
    rows = _lines(keys, size, height, _BANDS, _ROWS)
    columns = _lines(keys, size, width, _STACKS, _COLUMNS)
    across, down = rows[:, :, None], columns[:, None, :]
    if height == width:
        turned = (draws(keys, _TRANSPOSE, 1) >> np.uint64(63)).astype(bool)[:, :, None]
        across, down = np.where(turned, rows[:, None, :], across), np.where(turned, columns[:, :, None], down)
    cells = (across * size + down).reshape(len(keys), -1)  # (B, L)
    digits = np.tile(np.arange(size + 2, dtype=puzzles.inputs.dtype), (len(keys), 1))
    digits[:, 2:] = draws(keys, _DIGITS, size).argsort(axis=1) + 2
    moved = (np.take_along_axis(tokens, cells, axis=1) for tokens in puzzles[:2])
    inputs, labels = (np.take_along_axis(digits, tokens.astype(np.intp), axis=1) for tokens in moved)
    return Puzzles(inputs, labels, puzzles.task)


def _lines(keys: UInt64, size: int, together: int, outer: int, inner: int) -> NDArray[np.int64]:
    """Order of the rows (or columns): bands move as wholes, lines within their band; `(B, size)`."""
    bands = size // together
    order = draws(keys, outer, bands).argsort(axis=1)
    within = draws(keys, inner, size).reshape(-1, bands, together).argsort(axis=2)
    return (order[:, :, None] * together + within).reshape(-1, size)

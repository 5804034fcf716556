"""Questions at other places of their canvas."""

from __future__ import annotations

import numpy as np

from recurlight.data.counter import UInt64, draws
from recurlight.data.puzzles import Puzzles

__all__ = ["shift"]


def shift(puzzles: Puzzles, keys: UInt64, *, grid_shape: tuple[int, int]) -> Puzzles:
    """Move each question and its answer to a place of the canvas that is drawn from its key.

    Args:
        puzzles: Questions at the top left, filled up with token 0, `(B, L)`.
        keys: `(B,)` uint64.
        grid_shape: Rows and columns of the canvas.

    Example:
        >>> rows = np.array([[7, 8, 0, 0]])
        >>> moved = [shift(Puzzles(rows, rows, rows[:, 0]), np.array([key], np.uint64), grid_shape=(1, 4))
        ...          for key in range(9)]
        >>> sorted({tuple(puzzles.inputs[0].tolist()) for puzzles in moved})
        [(0, 0, 7, 8), (0, 7, 8, 0), (7, 8, 0, 0)]
    """
    filled = (puzzles.inputs != 0).reshape(-1, *grid_shape)
    place = np.zeros(filled.shape, dtype=np.int64)
    for axis, size in enumerate(grid_shape):
        used = filled.any(axis=2 - axis).sum(axis=1)
        moved = (draws(keys, axis, 1)[:, 0] % (size - used + 1).astype(np.uint64)).astype(np.int64)
        source = (np.arange(size) - moved[:, None]) % size  # (B, size)
        place = place * size + (source[:, :, None] if axis == 0 else source[:, None])
    place = place.reshape(len(place), -1)
    inputs, labels = (np.take_along_axis(part, place, axis=1) for part in (puzzles.inputs, puzzles.labels))
    return Puzzles(inputs, labels, puzzles.task)

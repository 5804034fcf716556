"""Symmetries of Sudoku, drawn from one key for each sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurlight.data.counter import UInt64, draws
from recurlight.data.puzzles import Augmentation, Puzzles
from recurlight.data.sudoku.generate import BOXES
from recurlight.data.symmetry import Symmetry

__all__ = ["augment", "in_turn", "reveal", "symmetry"]

_DIGITS, _BANDS, _ROWS, _STACKS, _COLUMNS, _TRANSPOSE, _SHARE, _REVEALED = range(8)
_BLANK = 1


def augment(puzzles: Puzzles, keys: UInt64, *, size: int, digits: int | None = None) -> Puzzles:
    """Relabel the digits, move bands, rows, stacks and columns, and transpose where boxes are square.

    `new[i, j] = names[old[rows[i], columns[j]]]`, and its transpose for half of the keys

    Args:
        puzzles: `(B, size * size)` tokens.
        keys: `(B,)` uint64; equal keys draw equal symmetries.
        size: 4, 6, 9 or 16.
        digits: Digits of the vocabulary, None for `size`. Of more than `size`, those of a puzzle are drawn
            if its clues show all of them; the others keep to the first `size`, or nobody could know which
            digit is missing.

    Returns:
        Puzzles of the same shapes and dtypes. Solutions stay solutions, clues stay clues.

    Example:
        >>> grid = np.array([[2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2]], dtype=np.uint8)
        >>> puzzles = Puzzles(grid, grid, np.zeros(1, dtype=np.uint8))
        >>> augment(puzzles, np.array([7], dtype=np.uint64), size=4).labels.shape
        (1, 16)
    """
    cells, names = _drawn(puzzles.inputs, keys, size, size if digits is None else digits)
    moved = (np.take_along_axis(tokens, cells, axis=1) for tokens in puzzles[:2])
    inputs, labels = (np.take_along_axis(names, tokens.astype(np.intp), axis=1) for tokens in moved)
    return Puzzles(inputs, labels, puzzles.task)


def reveal(puzzles: Puzzles, keys: UInt64, *, most: float) -> Puzzles:
    """Fill in blanks of each puzzle, most often few: a share of them between 0 and `most`.

    `share = most * u^3`, `u` even between 0 and 1

    What is left is a puzzle with the same solution, and easier. So a model meets puzzles of every grade, and
    the last steps of hard ones, from the first step on. Half of the puzzles get less than an eighth of
    `most`, so that most puzzles stay about as hard as they are.

    Args:
        puzzles: `(B, L)` tokens.
        keys: `(B,)` uint64; equal keys reveal the same cells.
        most: Largest share, 0 to 1.

    Example:
        >>> blank = Puzzles(*np.array([[[1] * 16], [[2] * 16]], dtype=np.uint8), np.zeros(1, dtype=np.uint8))
        >>> reveal(blank, np.array([7], dtype=np.uint64), most=1.0).inputs
        array([[1, 1, 1, 2, 1, 2, 1, 1, 1, 1, 2, 2, 2, 1, 2, 2]], dtype=uint8)
    """
    share = _even(draws(keys, _SHARE, 1)) ** 3 * most  # (B, 1)
    shown = (puzzles.inputs == _BLANK) & (_even(draws(keys, _REVEALED, puzzles.inputs.shape[1])) < share)
    return puzzles._replace(inputs=np.where(shown, puzzles.labels, puzzles.inputs))


def in_turn(puzzles: Puzzles, keys: UInt64, *, steps: Sequence[Augmentation]) -> Puzzles:
    """Apply one augmentation after the other, with the same keys."""
    for step in steps:
        puzzles = step(puzzles, keys)
    return puzzles


def _even(bits: UInt64) -> NDArray[np.float64]:
    """Turn draws into numbers from 0 to 1."""
    return bits / np.float64(2**64)


def symmetry(questions: NDArray[Any], keys: UInt64, *, size: int, digits: int | None = None) -> Symmetry:
    """Draw the symmetries by which `augment` varies puzzles.

    Args:
        questions: `(B, size * size)` tokens.
        keys: `(B,)` uint64; equal keys draw equal symmetries.
        size: 4, 6, 9 or 16.
        digits: Digits of the vocabulary, as for `augment`.
    """
    return Symmetry.of(*_drawn(questions, keys, size, size if digits is None else digits))


def _drawn(
    questions: NDArray[Any], keys: UInt64, size: int, digits: int
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Where each cell comes from, `(B, L)`, and the new token of each token, `(B, digits + 2)`."""
    height, width = BOXES[size]
    rows = _lines(keys, size, height, _BANDS, _ROWS)
    columns = _lines(keys, size, width, _STACKS, _COLUMNS)
    across, down = rows[:, :, None], columns[:, None, :]
    if height == width:
        turned = (draws(keys, _TRANSPOSE, 1) >> np.uint64(63)).astype(bool)[:, :, None]
        across, down = np.where(turned, rows[:, None, :], across), np.where(turned, columns[:, :, None], down)
    cells = (across * size + down).reshape(len(keys), -1)  # (B, L)
    return cells, _names(questions, keys, size, digits)


def _names(inputs: NDArray[Any], keys: UInt64, size: int, digits: int) -> NDArray[Any]:
    """New token of each token, `(B, digits + 2)`; pad and blank keep theirs."""
    names = np.tile(np.arange(digits + 2, dtype=inputs.dtype), (len(keys), 1))
    drawn = draws(keys, _DIGITS, digits)
    if digits > size:
        shown = (inputs[:, :, None] == names[:, None, 2 : size + 2]).any(axis=1).all(axis=1)  # (B,)
        drawn[~shown, size:] = np.iinfo(np.uint64).max  # last in the order
    names[:, 2:] = drawn.argsort(axis=1) + 2
    return names


def _lines(keys: UInt64, size: int, together: int, outer: int, inner: int) -> NDArray[np.int64]:
    """Order of the rows (or columns): bands move as wholes, lines within their band; `(B, size)`."""
    bands = size // together
    order = draws(keys, outer, bands).argsort(axis=1)
    within = draws(keys, inner, size).reshape(-1, bands, together).argsort(axis=2)
    return (order[:, :, None] * together + within).reshape(-1, size)

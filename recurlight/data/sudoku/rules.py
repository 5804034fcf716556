"""Rules and symmetries of Sudoku on token arrays: 0 pad, 1 blank, 2 and up the digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurlight.data.counter import UInt64, mix
from recurlight.data.rules import Rules
from recurlight.data.sudoku.generate import BOXES

__all__ = ["BLANK", "SudokuRules", "contradicted", "invariant", "solved"]

BLANK = 1
"""Token of an empty cell; digit `d` is token `d + 1`."""
_FIRST = BLANK + 1
_MOST = max(BOXES)
_ROUNDS = 4
_CHUNK = 2048


class SudokuRules(Rules):
    """Clues stay, and every row, column and box holds each digit once.

    The digits are those that the clues show, if they show `size` of them, and otherwise the first `size`.

    `sum over a unit of 2^digit = sum over all digits of 2^digit`, which `size` powers of two fulfil only if
    each digit is there once

    Args:
        size: 4, 6, 9 or 16.

    Example:
        >>> grid = torch.tensor([[2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2]])
        >>> clues = torch.tensor([[2, 1, 1, 5, *[1] * 12]])
        >>> SudokuRules(4).holds(clues, grid), SudokuRules(4).holds(clues, grid.flip(1))
        (tensor([True]), tensor([True]))
        >>> SudokuRules(4).holds(clues, grid.roll(4, dims=1))
        tensor([False])
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def holds(self, questions: Tensor, answers: Tensor) -> Tensor:
        """Tell which answers solve their puzzles, `(B,)` bool; nothing is moved from their device.

        Args:
            questions: Clues, `(B, size * size)` tokens.
            answers: Tokens of the same shape.
        """
        digits = torch.arange(_MOST, device=questions.device)
        shown = (questions[:, :, None] == digits + _FIRST).any(dim=1)  # (B, digits)
        first = digits < self.size
        asked = torch.where((shown.sum(dim=1) == self.size)[:, None], shown, first)
        goal = (asked << digits).sum(dim=1)  # (B,)
        kept = ((questions == BLANK) | (questions == answers)).all(dim=1)
        return kept & _filled(answers, goal, BOXES[self.size])


def _filled(answers: Tensor, goal: Tensor, box: tuple[int, int]) -> Tensor:
    """Whether the digits of every unit are those of a goal, a sum of powers of two, `(B,)`."""
    height, width = box
    size = height * width
    known = (answers >= _FIRST) & (answers < _FIRST + _MOST)
    powers = known.long() << (answers - _FIRST).clamp(0, _MOST - 1)
    grids = powers.view(-1, size // height, height, size // width, width)  # bands, rows, stacks, columns
    units = (grids.sum(dim=axes).flatten(1) for axes in ((3, 4), (1, 2), (2, 4)))
    return (torch.cat([*units], dim=1) == goal[:, None]).all(dim=1)


def solved(answers: NDArray[Any], size: int) -> NDArray[np.bool_]:
    """Whether every row, column and box holds each digit once.

    Args:
        answers: `(n, size * size)` tokens.
        size: 4, 6, 9 or 16.

    Returns:
        `(n,)` bool.
    """
    blank = torch.full((len(answers), size * size), BLANK)
    return SudokuRules(size).holds(blank, torch.from_numpy(answers.astype(np.int64))).numpy()


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

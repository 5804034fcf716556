"""Rules of generated sequences. They need neither the puzzles nor Lightning."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recurlight.data.rules import Rules

__all__ = ["BLANK", "EMPTY", "QUEEN", "ZERO", "AdditionRules", "QueensRules", "SortingRules"]

BLANK, ZERO = 1, 2
"""Tokens of additions: a cell without a digit, and the first digit."""

EMPTY, QUEEN = 1, 2
"""Tokens of boards: a cell that is empty or not known, and a queen."""


class AdditionRules(Rules):
    """The third row is the sum of the two above it, units first; other cells are not looked at.

    Example:
        >>> question = torch.tensor([[9, 5, 1, 3, 9, 1, 1, 1, 1]])  # 37 + 71, units at the left
        >>> AdditionRules().holds(question, torch.tensor([[0, 0, 0, 0, 0, 0, 10, 2, 3]]))
        tensor([True])
    """

    def holds(self, questions: Tensor, answers: Tensor) -> Tensor:
        """Tell which answers are the sums, `(B,)` bool; nothing is moved from their device.

        Args:
            questions: `(B, 3 * columns)` tokens.
            answers: Tokens of the same shape.
        """
        grids, found = (tokens.view(-1, 3, tokens.shape[1] // 3) for tokens in (questions, answers))
        asked = grids[:, 2] == BLANK
        digits = (grids[:, :2] - ZERO).clamp(min=0).sum(dim=1)  # (B, columns)
        carry, right = torch.zeros_like(digits[:, 0]), asked.any(dim=1)
        for column in range(digits.shape[1]):
            total = digits[:, column] + carry
            carry = total // 10
            right = right & ((found[:, 2, column] == total % 10 + ZERO) | ~asked[:, column])
        return right


class QueensRules(Rules):
    """Queens shown stay, each row and column has one, no diagonal two; no cell off the board is looked at.

    Example:
        >>> board = torch.tensor([[1, 2, 1, 1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 1, 2, 1]])
        >>> shown = torch.tensor([[1, 2, *[1] * 14]])
        >>> QueensRules().holds(shown, board), QueensRules().holds(shown, board.roll(1, dims=1))
        (tensor([True]), tensor([False]))
    """

    def holds(self, questions: Tensor, answers: Tensor) -> Tensor:
        """Tell which answers complete their boards, `(B,)` bool; nothing is moved from their device.

        Args:
            questions: `(B, size * size)` tokens.
            answers: Tokens of the same shape.
        """
        size = math.isqrt(questions.shape[1])
        board = questions != 0
        kept = (answers == QUEEN) | (answers == EMPTY) & (questions != QUEEN) | ~board
        queens = ((answers == QUEEN) & board).view(-1, size, size)
        right = kept.all(dim=1) & board.any(dim=1)
        for axis in (1, 2):
            right &= (queens.sum(dim=axis) == board.view_as(queens).any(dim=axis)).all(dim=1)
        for grid in (queens, queens.flip(2)):
            for offset in range(1 - size, size):
                right &= grid.diagonal(offset, dim1=1, dim2=2).sum(dim=1) < 2
        return right


class SortingRules(Rules):
    """The numbers of the question in ascending order; cells that it does not fill are not looked at.

    Example:
        >>> question = torch.tensor([[4, 2, 4, 0]])
        >>> SortingRules().holds(question, torch.tensor([[2, 4, 4, 9]]))
        tensor([True])
        >>> SortingRules().holds(question, torch.tensor([[2, 3, 4, 0]]))
        tensor([False])
    """

    def holds(self, questions: Tensor, answers: Tensor) -> Tensor:
        """Tell which answers are sorted and have the numbers of their questions, `(B,)` bool.

        Args:
            questions: `(B, L)` tokens.
            answers: Tokens of the same shape.
        """
        filled = questions != 0
        places = (~filled).long().argsort(dim=1, stable=True)  # the filled cells first
        asked = filled.gather(1, places)
        last = questions.new_full((), torch.iinfo(questions.dtype).max)
        ascending = torch.where(filled, questions, last).sort(dim=1).values
        return ((answers.gather(1, places) == ascending) | ~asked).all(dim=1) & asked.any(dim=1)

"""Addition of numbers with many digits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurlight.data.counter import UInt64, draws
from recurlight.data.sequences.base import Questions, SequenceData
from recurlight.data.sequences.rules import BLANK, ZERO, AdditionRules
from recurlight.data.symmetry import Symmetry, SymmetryGroup
from recurlight.rendering.wording import Wording
from recurlight.types import IGNORE

__all__ = ["AdditionData"]


class AdditionData(SequenceData):
    """Two numbers of `length` digits below each other, and a third row for their sum.

    The rows begin with the units, so that a column means the same at every length; the sum has one digit
    more. Leading zeros are written. Only the sum is supervised. Tokens: 0 pad, 1 blank, 2 to 11 the digits.
    A carry may run through all columns: that is what a fixed depth cannot follow.

    Args:
        settings: Those of `SequenceData` and `PuzzleData`, such as `length`, `eval_lengths`, `batch_size`.

    Raises:
        DataError: A setting is out of range.

    Example:
        >>> data = AdditionData(length=3, num_train=10, num_val=10, num_test=10)
        >>> print(data.render(data.splits.train.inputs[0]))
        _ 9 5 0
        _ 1 5 6
        _ _ _ _
        >>> print(data.render(data.splits.train.labels[0]))
        . . . .
        . . . .
        1 1 0 6
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(symbols="_0123456789", **settings)

    def shape(self, length: int) -> tuple[int, int]:
        """Two numbers and their sum, one column more than digits."""
        return 3, length + 1

    def sample(self, length: int, keys: UInt64) -> Questions:
        """Draw digits and add column by column."""
        digits = (draws(keys, 0, 2 * length) % np.uint64(10)).astype(np.int16).reshape(-1, 2, length)
        questions = np.full((len(keys), 3, length + 1), BLANK, dtype=np.int16)
        questions[:, :2, :length] = digits + ZERO
        answers = np.full_like(questions, IGNORE)
        carry = np.zeros(len(keys), dtype=np.int16)
        for column in range(length):
            carry, digit = np.divmod(digits[:, :, column].sum(axis=1) + carry, 10)
            answers[:, 2, column] = digit + ZERO
        answers[:, 2, length] = carry + ZERO
        return Questions(questions, answers)

    def symmetry_group(self) -> SymmetryGroup:
        """Return the exchange of both numbers' digits in drawn columns, which leaves every sum."""
        return partial(_exchanged, columns=self.grid_shape[1], vocab=self.vocab_size)

    def rules(self) -> AdditionRules:
        """Return the rule: the third row is the sum."""
        return AdditionRules()

    def wording(self) -> Wording:
        """Three rows as on paper, units at the right; the third is the answer's."""
        return replace(super().wording(), rows=(2,), mirrored=True)

    def render(self, tokens: Iterable[int]) -> str:
        """Draw the three rows as on paper, units at the right."""
        rows, columns = self.grid_shape
        flipped = np.reshape([int(token) for token in tokens], (rows, columns))[:, ::-1]
        return super().render(flipped.reshape(-1))


def _exchanged(questions: NDArray[Any], keys: UInt64, *, columns: int, vocab: int) -> Symmetry:
    """Exchange the two digits of half of the columns; the third row stays."""
    swap = (draws(keys, 0, columns) >> np.uint64(63)).astype(np.int64)  # (B, columns)
    column, rows = np.arange(columns), (swap, 1 - swap, np.full_like(swap, 2))
    return Symmetry.of(np.concatenate([row * columns + column for row in rows], axis=1), np.arange(vocab))

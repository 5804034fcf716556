"""Sorting, reversal and parity."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurlight.data.counter import UInt64, draws
from recurlight.data.sequences.base import Questions, SequenceData
from recurlight.data.sequences.rules import SortingRules
from recurlight.data.symmetry import Symmetry, SymmetryGroup
from recurlight.errors import DataError

__all__ = ["ParityData", "ReversalData", "SortingData"]


def _tokens(keys: UInt64, length: int, values: int) -> Any:
    """Draw tokens 1 to `values`, `(n, 1, length)`."""
    return (draws(keys, 0, length) % np.uint64(values)).astype(np.int16)[:, None] + 1


def _numbers(values: int) -> list[str]:
    if values < 2:
        raise DataError(f"values is {values}: set data.values to 2 or more")
    return [str(value) for value in range(values)]


def _reordered(questions: NDArray[Any], keys: UInt64, *, vocab: int) -> Symmetry:
    """Put the numbers of each question into a drawn order; cells that it does not fill stay."""
    filled = questions != 0
    drawn = draws(keys, 0, questions.shape[1]) >> np.uint64(1)
    order = np.where(filled, drawn, np.iinfo(np.uint64).max).argsort(axis=1, kind="stable")
    cells = np.empty_like(order)
    np.put_along_axis(cells, (~filled).argsort(axis=1, kind="stable"), order, axis=1)
    return Symmetry.of(cells, np.arange(vocab), answers=np.tile(np.arange(cells.shape[1]), (len(cells), 1)))


def _renamed(questions: NDArray[Any], keys: UInt64, *, vocab: int) -> Symmetry:
    """Give the numbers other names, and leave every cell where it is."""
    names = np.pad(draws(keys, 0, vocab - 1).argsort(axis=1) + 1, ((0, 0), (1, 0)))
    return Symmetry.of(np.tile(np.arange(questions.shape[1]), (len(keys), 1)), names)


class SortingData(SequenceData):
    """Sequences of numbers, to be written in ascending order.

    Every output depends on every input, and how many steps a network needs grows with the length.

    Args:
        values: How many different numbers there are, 0 to `values - 1`; tokens are one more.
        settings: Those of `SequenceData` and `PuzzleData`, such as `length`, `eval_lengths`, `batch_size`.

    Raises:
        DataError: A setting is out of range.

    Example:
        >>> data = SortingData(length=5, num_train=100, num_val=10, num_test=10)
        >>> question, answer, _ = data.splits.train.rows(slice(0, 1))
        >>> print(data.render(question[0]), "->", data.render(answer[0]))
        7 0 6 9 6 -> 0 6 6 7 9
    """

    def __init__(self, values: int = 10, **settings: Any) -> None:
        super().__init__(symbols=_numbers(values), **settings)
        self.values = values

    def sample(self, length: int, keys: UInt64) -> Questions:
        """Draw numbers and sort them."""
        questions = _tokens(keys, length, self.values)
        return Questions(questions, np.sort(questions, axis=2))

    def symmetry_group(self) -> SymmetryGroup:
        """Return the orders in which the same numbers can be asked; the answer stays as it is."""
        return partial(_reordered, vocab=self.vocab_size)

    def rules(self) -> SortingRules:
        """Return the rule: the numbers of the question in ascending order."""
        return SortingRules()


class ReversalData(SequenceData):
    """Sequences of numbers, to be written backwards.

    The easiest task here: nothing is computed, but every number must travel, the further the longer.

    Args:
        values: How many different numbers there are, 0 to `values - 1`; tokens are one more.
        settings: Those of `SequenceData` and `PuzzleData`, such as `length`, `eval_lengths`, `batch_size`.

    Raises:
        DataError: A setting is out of range.

    Example:
        >>> data = ReversalData(length=5, num_train=100, num_val=10, num_test=10)
        >>> question, answer, _ = data.splits.train.rows(slice(0, 1))
        >>> print(data.render(question[0]), "->", data.render(answer[0]))
        7 0 6 9 6 -> 6 9 6 0 7
    """

    def __init__(self, values: int = 10, **settings: Any) -> None:
        super().__init__(symbols=_numbers(values), **settings)
        self.values = values

    def sample(self, length: int, keys: UInt64) -> Questions:
        """Draw numbers and turn them round."""
        questions = _tokens(keys, length, self.values)
        return Questions(questions, questions[:, :, ::-1])

    def symmetry_group(self) -> SymmetryGroup:
        """Return the permutations of the numbers' names."""
        return partial(_renamed, vocab=self.vocab_size)


class ParityData(SequenceData):
    """Bits, and at each of them whether the number of ones up to there is odd.

    `answer_i = (bit_1 + ... + bit_i) mod 2`. Each prefix has its answer, so that every position is supervised
    and a row is exact only when all of them are right; the last one is the parity of the whole. Bit 0 is
    token 1, bit 1 is token 2.

    Args:
        settings: Those of `SequenceData` and `PuzzleData`, such as `length`, `eval_lengths`, `batch_size`.

    Raises:
        DataError: A setting is out of range.

    Example:
        >>> data = ParityData(length=5, num_train=10, num_val=2, num_test=2)
        >>> question, answer, _ = data.splits.train.rows(slice(0, 1))
        >>> print(data.render(question[0]), "->", data.render(answer[0]))
        1 0 0 1 0 -> 1 1 1 0 0
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(symbols="01", **settings)

    def sample(self, length: int, keys: UInt64) -> Questions:
        """Draw bits and count ones."""
        questions = _tokens(keys, length, 2)
        return Questions(questions, (questions - 1).cumsum(axis=2) % 2 + 1)

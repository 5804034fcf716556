"""Sorting, reversal and parity."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurlight.data.counter import UInt64, draws
from recurlight.data.sequences.base import Questions, SequenceData
from recurlight.errors import DataError

__all__ = ["ParityData", "ReversalData", "SortingData"]


def _tokens(keys: UInt64, length: int, values: int) -> Any:
    """Draw tokens 1 to `values`, `(n, 1, length)`."""
    return (draws(keys, 0, length) % np.uint64(values)).astype(np.int16)[:, None] + 1


def _numbers(values: int) -> list[str]:
    if values < 2:
        raise DataError(f"values is {values}: set data.values to 2 or more")
    return [str(value) for value in range(values)]


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

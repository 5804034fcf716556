"""Seeded questions dealt out to splits that share none."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from recurlight.data.counter import UInt64
from recurlight.data.puzzles import Puzzles
from recurlight.data.split import fingerprints
from recurlight.errors import DataError

__all__ = ["NumberedPuzzles", "joined"]

_ROUNDS = 64
_LEAST = 64


def joined(parts: Iterable[Puzzles]) -> Puzzles:
    """Put puzzles of one shape behind each other."""
    return Puzzles(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


class NumberedPuzzles:
    """Puzzles that a function makes from the numbers 0, 1, 2, ..., dealt out in that order.

    Args:
        make: Makes the puzzles of some numbers, `(n,)`.
        name: What they are, for messages.

    Example:
        >>> def digits(numbers):
        ...     rows = numbers[:, None] % 10
        ...     return Puzzles(rows, rows, np.zeros(len(rows)))
        >>> puzzles = NumberedPuzzles(digits, "digits")
        >>> puzzles.distinct("num_test", 7).inputs[:, 0], puzzles.others("num_train", 5).inputs[:, 0]
        (array([0, 1, 2, 3, 4, 5, 6]), array([7, 8, 9, 7, 8]))
    """

    def __init__(self, make: Callable[[NDArray[np.int64]], Puzzles], name: str) -> None:
        self.make, self.name = make, name
        self.next = 0
        self.taken: UInt64 = np.zeros(0, dtype=np.uint64)

    def distinct(self, setting: str, count: int) -> Puzzles:
        """Deal out the next `count` puzzles that differ from each other and from all of `distinct` before.

        Raises:
            DataError: There are not so many; the message names the setting.
        """
        dealt = self._deal(setting, count, once=True)
        self.taken = np.concatenate([self.taken, fingerprints(dealt)])
        return dealt

    def others(self, setting: str, count: int) -> Puzzles:
        """Deal out the next `count` puzzles, repeats included, that differ from all of `distinct`.

        Raises:
            DataError: There are none; the message names the setting.
        """
        return self._deal(setting, count, once=False)

    def _deal(self, setting: str, count: int, once: bool) -> Puzzles:
        dealt = self.make(np.zeros(0, dtype=np.int64))
        for _ in range(_ROUNDS):
            missing = count - len(dealt.inputs)
            if not missing:
                return dealt
            numbers = np.arange(self.next, self.next + max(missing, _LEAST))
            self.next += len(numbers)
            dealt = joined((dealt, self._wanted(self.make(numbers))))
            if once:
                first = np.unique(fingerprints(dealt), return_index=True)[1]
                dealt = dealt.rows(np.sort(first))
            dealt = dealt.rows(slice(0, count))
        raise DataError(
            f"{self.name} has {len(dealt.inputs)} questions that no other part took, {setting} asks for "
            f"{count}: lower data.{setting}"
        )

    def _wanted(self, puzzles: Puzzles) -> Puzzles:
        """Leave out what `distinct` dealt before."""
        return puzzles.rows(np.flatnonzero(~np.isin(fingerprints(puzzles), self.taken)))

"""Puzzles as arrays, the parts they come in, and what may vary them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurlight.data.counter import UInt64

__all__ = ["Augmentation", "Puzzles", "Splits", "Variants", "are_numbers", "joined"]


class Puzzles(NamedTuple):
    """Puzzles as numpy arrays, of small integers or of numbers, one row each.

    Attributes:
        inputs: Question tokens, `(n, L)`; or numbers, `(n, L, F)` float32.
        labels: Answer tokens, `(n, L)`, `IGNORE` where not supervised; or numbers, `(n, L, G)` float32, NaN
            where not supervised.
        task: Task of each puzzle, `(n,)`.
    """

    inputs: NDArray[Any]
    labels: NDArray[Any]
    task: NDArray[Any]

    def rows(self, index: NDArray[np.int64] | slice) -> Puzzles:
        """Return some of the puzzles."""
        return Puzzles(*(field[index] for field in self))


class Splits(NamedTuple):
    """The three parts of a data set.

    Attributes:
        train: What training draws from, without end and augmented.
        val: Asked once after every epoch, in order and as it is.
        test: Asked once, by `test` and by `predict`.
    """

    train: Puzzles
    val: Puzzles
    test: Puzzles


def joined(parts: Iterable[Puzzles]) -> Puzzles:
    """Put puzzles of one shape, one part or more, behind each other."""
    return Puzzles(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def are_numbers(field: NDArray[Any]) -> bool:
    """Tell whether questions or answers are numbers, `(n, L, F)` of floating point, and no tokens.

    Example:
        >>> are_numbers(np.zeros((5, 4, 1))), are_numbers(np.zeros((5, 4)))
        (True, False)
    """
    return field.ndim == 3 and field.dtype.kind == "f"


Augmentation = Callable[[Puzzles, UInt64], Puzzles]
"""`(puzzles, keys (B,) uint64) -> puzzles`: a function of the keys alone, picklable for workers."""


class Variants(NamedTuple):
    """Variants in which evaluation asks every puzzle, made when they are needed.

    Attributes:
        per_puzzle: How many; the first is usually the puzzle itself.
        apply: `(puzzles, number of the variant (B,)) -> puzzles`, picklable for workers.
    """

    per_puzzle: int
    apply: Callable[[Puzzles, NDArray[np.int64]], Puzzles]

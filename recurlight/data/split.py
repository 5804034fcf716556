"""Held-out puzzles of data that come in one piece."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recurlight.data.base import Splits
from recurlight.data.checks import check_arrays
from recurlight.data.counter import UInt64, counter_hash, mix
from recurlight.data.puzzles import Puzzles
from recurlight.errors import DataError
from recurlight.spec.given import checked

__all__ = ["fingerprints", "hold_out"]

_HELD_OUT = 1 << 40  # stream of the seed


def fingerprints(puzzles: Puzzles) -> UInt64:
    """Hash question and task of each puzzle to 64 bits: equal questions have equal fingerprints.

    Two different ones share a fingerprint once in 2^64 pairs, and are then treated as equal.

    Example:
        >>> rows = np.array([[1, 2], [2, 1], [1, 2]])
        >>> first, second, third = fingerprints(Puzzles(rows, rows, np.zeros(3)))
        >>> bool(first == third), bool(first == second)
        (True, False)
    """
    marks = mix(puzzles.task.astype(np.uint64))
    for column in puzzles.inputs.T:
        marks = mix(marks ^ column.astype(np.uint64))
    return marks


@checked
def hold_out(puzzles: Puzzles, *, num_val: int, num_test: int, seed: int) -> Splits:
    """Hold validation and test puzzles out, drawn by a seed; puzzles that ask the same stay together.

    No question of one part is in another. Where questions repeat, a part may be smaller than asked for, since
    it takes all rows of a question or none. The test puzzles do not depend on `num_val`.

    Args:
        puzzles: All puzzles.
        num_val: Validation puzzles.
        num_test: Test puzzles.
        seed: Any integer.

    Raises:
        DataError: There are too few different questions, or the arrays are no puzzles.

    Example:
        >>> rows = np.arange(10)[:, None]
        >>> splits = hold_out(Puzzles(rows, rows, np.zeros(10)), num_val=2, num_test=3, seed=0)
        >>> [len(part.inputs) for part in splits]
        [5, 2, 3]
    """
    check_arrays(puzzles, "hold_out: puzzles")
    _, group, sizes = np.unique(fingerprints(puzzles), return_inverse=True, return_counts=True)
    order = counter_hash(seed, _HELD_OUT, np.arange(len(sizes))).argsort(kind="stable")
    part = _parts(sizes, order, num_val, num_test)[group]
    for number, wanted in enumerate((1, num_val, num_test)):
        if wanted and not (part == number).any():
            raise DataError(
                f"{len(part)} puzzles with {len(sizes)} different questions cannot be divided into training, "
                f"num_val={num_val} and num_test={num_test}: set data.num_val and data.num_test lower"
            )
    return Splits(*(puzzles.rows(np.flatnonzero(part == number)) for number in range(3)))


def _parts(
    sizes: NDArray[np.int64], order: NDArray[np.int64], num_val: int, num_test: int
) -> NDArray[np.int8]:
    """Deal questions with so many rows each out, in an order: 0 training, 1 validation, 2 test."""
    part = np.zeros(len(sizes), dtype=np.int8)
    room = {2: num_test, 1: num_val}
    for question in order:
        fitting = next((number for number in room if sizes[question] <= room[number]), 0)
        part[question] = fitting
        if fitting:
            room[fitting] -= int(sizes[question])
        if not any(room.values()):
            break
    return part

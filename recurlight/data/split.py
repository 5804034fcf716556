"""Parts that share no puzzle: dealt out of puzzles made by number, or held out of puzzles at hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recurlight.data.checks import check_arrays
from recurlight.data.counter import UInt64, mix, shuffled
from recurlight.data.puzzles import Puzzles, Splits, are_numbers, joined
from recurlight.errors import DataError
from recurlight.spec.given import checked

__all__ = ["Deck", "fingerprints", "hold_out"]

_HELD_OUT = 1 << 40  # stream of the seed
_PATIENCE = 64


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
    cells = puzzles.inputs
    if are_numbers(cells):  # their bits, in which -0 is 0
        cells = (
            (cells.astype(np.float32) + np.float32(0))
            .view(np.uint32)
            .reshape(len(cells), math.prod(cells.shape[1:]))
        )
    for column in cells.T:
        marks = mix(marks ^ column.astype(np.uint64))
    return marks


class Deck:
    """Puzzles made from the numbers 0, 1, 2, ... when they are needed, and dealt out to parts in that order.

    What a part gets depends on `make`, on `least` and on the parts before it, never on those after it: so
    whoever deals the test puzzles first has the same ones, however many there are for training.

    Args:
        make: Makes the puzzles of a range of numbers, in their order; also those of an empty one.
        identity: Hashes puzzles, `(n,)`: those with equal hashes are the same puzzle.
        least: Numbers to make at a time at least. A part skips what was made beyond its last puzzle.
        total: How many numbers there are; None for no end.
        taken: Hashes of puzzles that other parts have already.

    Example:
        >>> def digits(numbers):
        ...     rows = np.arange(numbers.start, numbers.stop)[:, None] % 10
        ...     return Puzzles(rows, rows, np.zeros(len(rows)))
        >>> deck = Deck(digits)
        >>> deck.deal(7).inputs[:, 0], deck.deal(5, once=False).inputs[:, 0], len(deck.deal(1).inputs)
        (array([0, 1, 2, 3, 4, 5, 6]), array([7, 8, 9, 7, 8]), 0)
    """

    def __init__(
        self,
        make: Callable[[range], Puzzles],
        identity: Callable[[Puzzles], UInt64] = fingerprints,
        *,
        least: int = 1,
        total: int | None = None,
        taken: UInt64 | None = None,
    ) -> None:
        self.make, self.identity, self.least, self.total = make, identity, least, total
        self.taken = np.zeros(0, dtype=np.uint64) if taken is None else taken
        self.next = 0

    def deal(self, count: int, *, once: bool = True) -> Puzzles:
        """Deal out the next `count` puzzles that no part before has; fewer where no more are found.

        Args:
            count: Puzzles of the part.
            once: Leave out those that the part itself has; otherwise they may repeat in it.
        """
        # A rule does not say how many puzzles it has: after so many numbers it is taken to have no more.
        end = self.next + _PATIENCE * (count + _PATIENCE) if self.total is None else self.total
        parts, marks, missing = [self.make(range(0))], [self.taken], count
        while missing and self.next < end:
            numbers = range(self.next, min(self.next + max(missing, self.least), end))
            self.next = numbers.stop
            made = self.make(numbers)
            found = self.identity(made)
            new = np.flatnonzero(~np.isin(found, np.concatenate(marks) if once else self.taken))
            if once:
                new = new[np.sort(np.unique(found[new], return_index=True)[1])]
            new = new[:missing]
            parts.append(made.rows(new))
            marks.append(found[new])
            missing -= len(new)
        self.taken = np.concatenate(marks)
        return joined(parts)


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
    part = _parts(sizes, shuffled(seed, _HELD_OUT, len(sizes)), num_val, num_test)[group]
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

"""Sudoku puzzles with exactly one solution, from a counter; standard library only.

Candidates live in one integer: bit `digit * cells + cell` is set while `digit` may stand in `cell`. Each of
the four constraints (one digit in a cell, one place for a digit in a row, a column, a box) then asks every
unit at once whether 0, 1 or more candidates are left, by adding shifted copies of that integer.

The file imports nothing of the package, so worker processes run it as a script and start in milliseconds.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

__all__ = ["BOXES", "SYMBOLS", "VERSION", "count_guesses", "make_puzzle"]

VERSION = 1
"""Part of the name of cached files: raise it when the puzzles of a seed change."""
BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}
"""Rows and columns of a box, for each size."""
SYMBOLS = ".123456789ABCDEFG"
"""Text of a blank cell and of the digits."""
_ENDLESS = 10**9
_BUDGET = {4: _ENDLESS, 6: _ENDLESS, 9: _ENDLESS, 16: 24}
"""Branches that a uniqueness check may take before its clue is kept; no limit makes the puzzle minimal."""


class _Constraint(NamedTuple):
    """Units of one kind: a unit's candidates are `first << shift` for each of the shifts."""

    first: int
    shifts: tuple[int, ...]
    spread: int
    """Sum of `1 << shift`: multiplied by a set of units it gives all their candidates."""


class _Board(NamedTuple):
    """Tables of one size."""

    size: int
    full: int
    keep: tuple[int, ...]
    """For each candidate, what is left of the full board when it is placed."""
    constraints: tuple[_Constraint, ...]


class _OutOfBudget(Exception):
    """The search took more branches than allowed."""


def _bits(places: Iterable[int]) -> int:
    return sum(1 << place for place in places)


@lru_cache(maxsize=4)
def _board(size: int) -> _Board:
    """Build the tables of a size."""
    height, width = BOXES[size]
    cells, every = size * size, range(size)
    corners = [r * size + c for r in range(0, size, height) for c in range(0, size, width)]
    inside = [r * size + c for r in range(height) for c in range(width)]
    families = [
        (range(cells), [d * cells for d in every]),
        ([d * cells + r * size for d in every for r in every], list(every)),
        ([d * cells + c for d in every for c in every], [r * size for r in every]),
        ([d * cells + corner for d in every for corner in corners], inside),
    ]
    full = (1 << cells * size) - 1
    keep = [full] * (cells * size)
    for firsts, shifts in families:
        for first in firsts:
            unit = _bits(first + shift for shift in shifts)
            for shift in shifts:
                keep[first + shift] &= full ^ unit | 1 << first + shift
    constraints = tuple(_Constraint(_bits(firsts), tuple(s), _bits(s)) for firsts, s in families)
    return _Board(size, full, tuple(keep), constraints)


def _propagate(board: _Board, left: int, placed: int) -> tuple[int, int] | None:
    """Place every candidate that is alone in some unit until none is; None if a unit has run out."""
    keep = board.keep
    while True:
        alone = 0
        for first, shifts, spread in board.constraints:
            some = more = 0
            for shift in shifts:
                here = left >> shift & first
                more |= some & here
                some |= here
            if some != first:
                return None
            alone |= left & (first ^ more) * spread
        alone ^= alone & placed
        if not alone:
            return left, placed
        placed |= alone
        while alone:
            lowest = alone & -alone
            left &= keep[lowest.bit_length() - 1]
            alone ^= lowest


def _places(bits: int) -> list[int]:
    """Positions of the set bits, ascending."""
    places = []
    while bits:
        lowest = bits & -bits
        places.append(lowest.bit_length() - 1)
        bits ^= lowest
    return places


def _choices(board: _Board, left: int, rng: random.Random | None) -> list[int]:
    """Candidates of one open unit: one with two candidates, or else any open cell."""
    units = more = 0
    constraint = board.constraints[0]
    for constraint in reversed(board.constraints):
        some = more = many = 0
        for shift in constraint.shifts:
            here = left >> shift & constraint.first
            many |= more & here
            more |= some & here
            some |= here
        units = more & ~many
        if units:
            break
    units = units or more
    unit = 1 << rng.choice(_places(units)) if rng else units & -units
    places = _places(unit * constraint.spread & left)
    if rng:
        rng.shuffle(places)
    return places


def _find(
    board: _Board, left: int, placed: int, budget: int, rng: random.Random | None = None
) -> tuple[int | None, int]:
    """Return the candidates of a solution, None if there is none, and how many branches of `budget` are left.

    `_OutOfBudget` after more.
    """
    stack = [(left, placed)]
    while stack:
        result = _propagate(board, *stack.pop())
        if result is None:
            continue
        left, placed = result
        if left == placed:
            return left, budget
        budget -= 1
        if budget < 0:
            raise _OutOfBudget
        for place in _choices(board, left, rng):
            stack.append((left & board.keep[place], placed))
    return None, budget


def _fill(board: _Board, rng: random.Random) -> list[int]:
    """Draw a full grid: the candidates of its cells, in random order."""
    while True:
        try:
            grid, _ = _find(board, board.full, 0, 20 * board.size, rng)
        except _OutOfBudget:
            continue
        places = _places(grid or 0)
        rng.shuffle(places)
        return places


def _needed(board: _Board, clues: list[int], clue: int) -> bool:
    """Whether the other clues allow a solution without this one (or might, when the search is cut short)."""
    left = board.full ^ 1 << clue
    for other in clues:
        left &= board.keep[other]
    try:
        return _find(board, left, _bits(clues), _BUDGET[board.size])[0] is not None
    except _OutOfBudget:
        return True


def _text(size: int, places: list[int]) -> str:
    cells = ["."] * (size * size)
    for place in places:
        digit, cell = divmod(place, size * size)
        cells[cell] = SYMBOLS[digit + 1]
    return "".join(cells)


def make_puzzle(size: int, seed: int, index: int) -> tuple[str, str]:
    """Make puzzle number `index` of a seed: its question and its only solution.

    Clues are taken from a random full grid in random order while the solution stays unique. Sizes 4, 6 and 9
    are minimal: no clue can be spared. Size 16 keeps a clue whose check takes too long.

    Args:
        size: 4, 6, 9 or 16.
        seed: Any integer.
        index: Number of the puzzle; puzzles are independent of each other.

    Example:
        >>> question, answer = make_puzzle(4, seed=0, index=0)
        >>> all(q in (".", a) for q, a in zip(question, answer, strict=True))
        True
    """
    board = _board(size)
    rng = random.Random(f"{VERSION} {size} {seed} {index}")
    clues = _fill(board, rng)
    answer = _text(size, clues)
    for clue in tuple(clues):
        others = [other for other in clues if other != clue]
        if not _needed(board, others, clue):
            clues = others
    return _text(size, clues), answer


def count_guesses(size: int, question: str) -> int:
    """Count how often the solver must guess on its way to the solution: how hard a puzzle is.

    It places every digit that is alone in its cell, or whose place is alone in a row, column or box. Where
    that ends, it takes the first open cell or place that has two candidates, and tries one after the other;
    each such choice counts as one guess, in branches that fail, too.

    Args:
        size: 4, 6, 9 or 16.
        question: A puzzle that has a solution, in `SYMBOLS`.

    Returns:
        0 for a puzzle that needs no guess.

    Example:
        >>> count_guesses(4, ".43.2......4..2.")
        0
    """
    board, cells = _board(size), size * size
    clues = [(SYMBOLS.index(text) - 1) * cells + cell for cell, text in enumerate(question) if text != "."]
    left = board.full
    for clue in clues:
        left &= board.keep[clue]
    return _ENDLESS - _find(board, left, _bits(clues), _ENDLESS)[1]


if __name__ == "__main__":
    _size, _seed, *_range = map(int, sys.argv[1:])
    for _index in range(*_range):
        sys.stdout.write(",".join(make_puzzle(_size, _seed, _index)) + "\n")

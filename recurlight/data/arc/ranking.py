"""Votes of ARC: grids as keys, candidates in order, and how many tasks they solve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from recurlight.data.arc.files import Grid

__all__ = ["Candidate", "Vote", "pack", "rank_candidates", "solved", "unpack"]

Vote = tuple[bytes, float]
"""A packed grid and the confidence in it."""


class Candidate(NamedTuple):
    """One answer to a test pair."""

    grid: bytes
    """As `pack` writes it."""
    votes: int
    confidence: float
    """Mean over its votes."""


def pack(grid: Grid) -> bytes:
    """Write a grid as bytes: rows, columns, colors."""
    return bytes(grid.shape) + grid.tobytes()


def unpack(grid: bytes) -> Grid:
    """Read what `pack` wrote.

    Example:
        >>> unpack(pack(np.array([[1, 2, 3]], dtype=np.int8)))
        array([[1, 2, 3]], dtype=int8)
    """
    return np.frombuffer(grid, dtype=np.int8, offset=2).reshape(grid[0], grid[1])


def rank_candidates(votes: Iterable[Vote]) -> list[Candidate]:
    """Order different answers: most votes first, of equals the higher mean confidence, then by content.

    Sums are exact, so that the order in which votes come cannot matter. Empty grids are no answers.

    Args:
        votes: Packed grids and their confidences.

    Example:
        >>> a, b, c = (pack(np.full((1, 1), color, dtype=np.int8)) for color in (1, 2, 3))
        >>> ranked = rank_candidates([(a, 0.9), (b, 0.1), (c, 0.2), (b, 0.1), (c, 0.4)])
        >>> [(candidate.grid == c, candidate.votes, round(candidate.confidence, 2)) for candidate in ranked]
        [(True, 2, 0.3), (False, 2, 0.1), (False, 1, 0.9)]
    """
    confidences: dict[bytes, list[float]] = {}
    for grid, confidence in votes:
        if grid[0] and grid[1]:
            confidences.setdefault(grid, []).append(confidence)
    candidates = [
        Candidate(grid, len(all_), math.fsum(all_) / len(all_)) for grid, all_ in confidences.items()
    ]
    return sorted(candidates, key=lambda one: (-one.votes, -one.confidence, one.grid))


def solved(places: Sequence[Sequence[int | None]], attempts: int) -> float:
    """Return the mean over tasks of the share of their test pairs whose answer is among the first attempts.

    Args:
        places: For each task and test pair the place of the right answer, from 1; None where it is not there.
        attempts: Answers that count.

    Example:
        >>> solved([[1], [3, None]], attempts=2), solved([[1], [3, None]], attempts=5)
        (0.5, 0.75)
    """
    shares = [sum(place is not None and place <= attempts for place in task) / len(task) for task in places]
    return math.fsum(shares) / max(len(shares), 1)

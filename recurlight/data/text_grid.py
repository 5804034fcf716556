"""Puzzles as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["text_grid"]


def text_grid(marks: Sequence[str], columns: int) -> str:
    """Lay marks out in rows of equally wide cells.

    Example:
        >>> print(text_grid(["1", "10", ".", "2"], columns=2))
         1 10
         .  2
    """
    width = max(map(len, marks))
    rows = (marks[at : at + columns] for at in range(0, len(marks), columns))
    return "\n".join(" ".join(mark.rjust(width) for mark in row) for row in rows)

"""How samples look: colors, and marks laid out as a grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["PALETTE", "colored", "rgb", "text_grid"]


def rgb(*colors: str) -> NDArray[np.uint8]:
    """Turn hexadecimal colors into an array, `(n, 3)` uint8.

    Example:
        >>> rgb("#ff8000").tolist()
        [[255, 128, 0]]
    """
    return np.array([list(bytes.fromhex(color[1:])) for color in colors], dtype=np.uint8)


PALETTE = rgb(
    *("#e8eaed", "#ffffff", "#4269d0", "#efb118", "#3ca951", "#a463f2", "#6cc5b0"),
    *("#ff8ab7", "#9c6b4e", "#97bbf5", "#9498a0", "#38507f"),
)
"""Pad, blank, and ten colors; no red, which marks errors."""


def colored(
    tokens: Iterable[int], shape: tuple[int, int], palette: NDArray[np.uint8] = PALETTE
) -> NDArray[np.uint8]:
    """Give each token its color, from the start again after the last.

    Args:
        tokens: `(L,)` tokens.
        shape: Rows and columns, `L` cells.
        palette: Color of each token, `(n, 3)`.

    Returns:
        `(rows, columns, 3)` uint8.

    Example:
        >>> colored([1, 2], (1, 2)).tolist()
        [[[255, 255, 255], [66, 105, 208]]]
    """
    cells = np.fromiter(map(int, tokens), dtype=np.int64).reshape(shape)
    return palette[cells % len(palette)]


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

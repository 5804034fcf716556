"""How samples look: what data say of it, and what follows from that for one grid."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["PALETTE", "SHADES", "Drawable", "Looks", "laid_over", "rgb"]


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

SHADES = rgb(
    *("#e8eaed", "#1f2a63", "#33549b", "#5b86bf", "#93b7d6", "#d3dfe0", "#efdcae"),
    *("#e9bf6a", "#d99a35", "#b8731a"),
)
"""Nothing, and nine shades from low to high, in which numbers are drawn."""


class Looks(NamedTuple):
    """How samples look, as text and in pictures: a few facts about tokens and the grid they lie in.

    Attributes:
        shape: Rows and columns.
        texts: What each token is in text; empty for its number, and a dot for 0. What is not supervised looks
            as token 0.
        gap: What stands between two cells of text. With a space, cells are made equally wide; without, they
            stay as they are.
        colors: Color of each token in pictures, `(n, 3)` uint8, from the start again after the last.
        marks: What pictures write over the color of each token; empty for nothing.
        boxes: Rows and columns of the boxes that are ruled; None for no boxes.
        canvas: Rows of each canvas where several lie below each other, drawn apart and without their blank
            ends; None for one grid.

    Example:
        >>> looks = Looks((2, 4), texts=".123", boxes=(1, 2))
        >>> print(looks.text([1, 2, 3, 0, 0, 3, 1, 2]))
        1 2 | 3 .
        ----+----
        . 3 | 1 2
        >>> looks.picture([0] * 8).shape
        (2, 4, 3)
    """

    shape: tuple[int, int]
    texts: Sequence[str] = ()
    gap: str = " "
    colors: NDArray[np.uint8] = PALETTE
    marks: Sequence[str] = ()
    boxes: tuple[int, int] | None = None
    canvas: int | None = None

    def text(self, tokens: Iterable[int]) -> str:
        """Draw one sample, `(L,)` tokens, as text for a terminal."""
        cells = [self._cell(max(int(token), 0)) for token in tokens]
        if self.gap:
            width = max(map(len, cells), default=0)
            cells = [cell.rjust(width) for cell in cells]
        columns = self.shape[1]
        rows = [self._boxed(cells[at : at + columns]) for at in range(0, len(cells), columns)]
        height, _ = self.boxes or self.shape
        lines = []
        for row, boxes in enumerate(rows):
            if row and self.boxes and row % height == 0:
                lines.append(self._between("+", "-").join("-" * len(box) for box in boxes))
            lines.append(self._between("|", self.gap).join(boxes))
        return "\n".join(lines) if self.canvas is None else _apart(lines, self.canvas)

    def _cell(self, token: int) -> str:
        return self.texts[token] if len(self.texts) else str(token or ".")

    def _boxed(self, row: list[str]) -> list[str]:
        """Join the cells of a row within each box."""
        _, width = self.boxes or self.shape
        return [self.gap.join(row[at : at + width]) for at in range(0, len(row), width)]

    def _between(self, rule: str, beside: str) -> str:
        """What stands between two boxes, as wide in the lines between them."""
        return beside * len(self.gap) + rule + beside * len(self.gap)

    def picture(self, tokens: Iterable[int]) -> NDArray[np.uint8]:
        """Color the cells of one sample, `(L,)` tokens, as `(rows, columns, 3)` uint8."""
        cells = np.fromiter(map(int, tokens), dtype=np.int64).reshape(self.shape)
        return self.colors[cells % len(self.colors)]

    def written(self, tokens: Iterable[int]) -> list[str]:
        """Return what pictures write into the cells of one sample, `(L,)` tokens; nothing without marks."""
        return [self.marks[int(token)] for token in tokens] if len(self.marks) else []


def _apart(lines: list[str], height: int) -> str:
    """Set canvases apart by an empty line, without the blanks at the end of their lines and below them."""
    lines = [line.rstrip() for line in lines]
    blocks = ["\n".join(lines[at : at + height]) for at in range(0, len(lines), height)]
    return "\n\n".join(block.rstrip() for block in blocks)


def laid_over(question: Tensor, tokens: Tensor, supervised: Tensor) -> Tensor:
    """Return answers whose unsupervised cells show the question, `(B, L)` tokens; see `Drawable.shown`."""
    return torch.where(supervised, tokens, question)


class Drawable(ABC):
    """Data whose samples can be drawn: all that text and pictures ask of data.

    Say `looks`. The other methods follow from it, and are there to be overridden where facts do not do. What
    is no token is drawn as the tokens that `levels` makes of it.
    """

    grid_shape: tuple[int, int]
    """Rows and columns of a sample."""

    boxes: tuple[int, int] | None = None
    """Rows and columns of the boxes that are ruled; None for no boxes."""

    targets: int = 0
    """Numbers in each cell of an answer; 0 where answers are tokens."""

    drawn_from: tuple[float, float] = (-1.0, 1.0)
    """Numbers that are drawn as the first and as the last of nine shades; those beyond look like these."""

    @cached_property
    def looks(self) -> Looks:
        """How samples look: by default as numbers, in pictures each token in a color of its own but red.

        Numbers get shades, from the first to the last of their `levels`.
        """
        return Looks(self.grid_shape, boxes=self.boxes, colors=SHADES if self.targets else PALETTE)

    def render(self, tokens: Iterable[int]) -> str:
        """Draw one sample, `(L,)` tokens, as text for a terminal."""
        return self.looks.text(tokens)

    def picture(self, tokens: Iterable[int]) -> NDArray[np.uint8]:
        """Color the cells of one sample, `(L,)` tokens, as `(rows, columns, 3)` uint8; red is for errors."""
        return self.looks.picture(tokens)

    def marks(self, tokens: Iterable[int]) -> list[str]:
        """Return what pictures write into the cells of one sample: a text for each token, or nothing."""
        return self.looks.written(tokens)

    def shown(self, question: Tensor, tokens: Tensor, supervised: Tensor) -> Tensor:
        """Return answers as they are drawn, `(B, L)` tokens: the question stays where nothing is supervised.

        Override it where the answer has a shape of its own, that does not lie over the question.

        Args:
            question: `(B, L)` tokens.
            tokens: The right answers or the predicted ones, `(B, L)`.
            supervised: Where they count, `(B, L)` bool; everywhere where the answer is not known.
        """
        return laid_over(question, tokens, supervised)

    def levels(self, numbers: Tensor) -> Tensor:
        """Return the tokens as which numbers are drawn, `(B, L)`: 1 to 9 by a cell's first, 0 for NaN.

        Args:
            numbers: Questions or answers, `(B, L, F)`.
        """
        low, high = self.drawn_from
        first = numbers[..., 0]
        return (1 + 9 * (first - low) / (high - low)).nan_to_num(0).clamp(1, 9).long() * ~first.isnan()

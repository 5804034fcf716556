"""Characters and integers as tokens on one canvas."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurlight.data.table.files import Table
from recurlight.errors import DataError

__all__ = ["Grids", "Shape", "Vocabulary", "holds_text", "read_grids"]

Shape = tuple[int, int]

_LARGEST = 2**31


class Grids(NamedTuple):
    """A column of a table: grids of symbols, a text being a grid of one row."""

    table: Table
    name: str
    symbols: NDArray[np.int64]
    """Characters' code points, or integers, of all grids one after another."""
    shapes: NDArray[np.int64]
    """Rows and columns of each grid, `(n, 2)`."""

    def folded(self, shape: Shape) -> Grids:
        """Return texts and lists that are as long as the whole canvas as its rows, one after another."""
        whole = (self.shapes == (1, shape[0] * shape[1])).all(axis=1, keepdims=True)
        return self._replace(shapes=np.where(whole, shape, self.shapes))

    def end(self, canvas: NDArray[np.int32], shape: Shape, mark: int) -> None:
        """Write a mark into the cell after the first row and the cell below the first column, where they are.

        Args:
            canvas: `(n, rows * columns)`, changed in place.
            shape: Its rows and columns.
            mark: What to write.
        """
        cells = canvas.reshape(-1, *shape)
        heights, widths = self.shapes.T
        below, beside = np.flatnonzero(heights < shape[0]), np.flatnonzero(widths < shape[1])
        cells[below, heights[below], 0] = mark
        cells[beside, 0, widths[beside]] = mark

    def laid(self, vocabulary: Vocabulary, shape: Shape, fill: int) -> NDArray[np.int32]:
        """Lay the grids out as tokens of a vocabulary; see `place`.

        Raises:
            DataError: A symbol is not in the vocabulary, or a grid is larger than the canvas.
        """
        return self.place(vocabulary.tokens(self), shape, fill)

    def place(self, tokens: NDArray[np.int32], shape: Shape, fill: int) -> NDArray[np.int32]:
        """Lay grids of tokens out at the top left of a canvas, `(n, rows * columns)`.

        Raises:
            DataError: A grid is larger than the canvas.
        """
        too_large = np.flatnonzero((self.shapes > shape).any(axis=1))
        if len(too_large):
            raise self._too_large(int(too_large[0]), shape)
        inside = (np.arange(shape[0])[:, None] < self.shapes[:, 0, None, None]) & (
            np.arange(shape[1]) < self.shapes[:, 1, None, None]
        )
        canvas = np.full(inside.shape, fill, dtype=np.int32)
        canvas[inside] = tokens
        return canvas.reshape(len(canvas), -1)

    def _too_large(self, row: int, shape: Shape) -> DataError:
        own = self.shapes[row].tolist()
        needed = np.maximum(own, shape).tolist()
        skip = int(needed[0] == 1)  # texts and lists have one row
        cells, room = (" x ".join(map(str, sides[skip:])) for sides in (own, shape))
        reason = f"the {self.name} has {cells} cells, the grid {room}, by default the largest question's"
        if own[0] == 1 < shape[0]:  # a text or list, and a canvas of several rows
            reason += f" ({shape[0] * shape[1]} in one row would fill it row by row)"
        return self.table.error(row, f"{reason}: set data.grid_shape to {needed}")


class Vocabulary:
    """Symbols and their tokens, 1, 2, ... in the order given.

    Args:
        symbols: Code points or integers, all different.
        text: Whether they are characters.
        source: Where the symbols come from and what to do about one that is missing, for messages.
    """

    def __init__(self, symbols: NDArray[np.int64], text: bool, source: str) -> None:
        self.symbols, self.text, self.source = symbols, text, source
        self.order = symbols.argsort()

    def tokens(self, grids: Grids) -> NDArray[np.int32]:
        """Look up every symbol of a column.

        Raises:
            DataError: A symbol is not in the vocabulary.
        """
        ordered = self.symbols[self.order]
        place = np.searchsorted(ordered, grids.symbols).clip(max=len(ordered) - 1)
        unknown = np.flatnonzero(ordered[place] != grids.symbols)
        if len(unknown):
            ends = grids.shapes.prod(axis=1).cumsum()
            row = int(np.searchsorted(ends, unknown[0], side="right"))
            symbol = self.show(int(grids.symbols[unknown[0]]))
            kind = f"the character {symbol!r}" if self.text else f"the number {symbol}"
            raise grids.table.error(row, f"the {grids.name} has {kind}, {self.source}")
        return np.asarray(self.order[place] + 1, dtype=np.int32)

    def spelled(self) -> str | list[int]:
        """Return all symbols in the order of their tokens, as `TableData` takes an alphabet."""
        return "".join(map(chr, self.symbols.tolist())) if self.text else self.symbols.tolist()

    def show(self, symbol: int) -> str:
        """Write a symbol."""
        return chr(symbol) if self.text else str(symbol)


def holds_text(table: Table, name: str = "question") -> bool:
    """Return whether a table has texts and not grids, by the first value of a column."""
    first = table.columns[name][0]
    return isinstance(first, str) and not (table.is_csv and first.lstrip().startswith("["))


def read_grids(table: Table, name: str, text: bool) -> Grids:
    """Read a column of texts or of integer grids.

    Args:
        table: The file's rows.
        name: `question` or `answer`.
        text: Whether texts are expected; otherwise lists of integers or lists of such rows, in a CSV file
            written as JSON.

    Raises:
        DataError: A value is something else, empty, or has rows of different lengths.
    """
    read = _characters if text else _integers
    grids = [read(table, row, name, value) for row, value in enumerate(table.columns[name])]
    shapes = np.array([grid.shape for grid in grids], dtype=np.int64)
    return Grids(table, name, np.concatenate([grid.reshape(-1) for grid in grids]), shapes)


def _characters(table: Table, row: int, name: str, value: Any) -> NDArray[np.int64]:
    if not isinstance(value, str):
        raise table.error(row, f"the {name} is no text, unlike the first question: {_short(value)}")
    if not value:
        raise table.error(row, f"the {name} is empty")
    points = np.frombuffer(value.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return points.astype(np.int64)[None]


def _integers(table: Table, row: int, name: str, value: Any) -> NDArray[np.int64]:
    if isinstance(value, str) and table.is_csv:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise table.error(
                row, f"the {name} is no JSON list, unlike the first question: {_short(value)}"
            ) from None
    if not isinstance(value, list):
        raise table.error(row, f"the {name} is no list, unlike the first question: {_short(value)}")
    rows = value if value and isinstance(value[0], list) else [value]
    if not all(isinstance(line, list) for line in rows):
        raise table.error(row, f"the {name} mixes numbers and lists")
    if not rows[0]:
        raise table.error(row, f"the {name} is empty")
    for number, line in enumerate(rows):
        if len(line) != len(rows[0]):
            reason = f"the grid of the {name} is ragged, its row {number + 1} has {len(line)} cells"
            raise table.error(row, f"{reason}, its row 1 has {len(rows[0])}")
        for cell in line:
            if type(cell) is not int or abs(cell) >= _LARGEST:
                raise table.error(row, f"the {name} has a cell that is no 32-bit integer: {_short(cell)}")
    return np.array(rows, dtype=np.int64)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."

"""Columns that hold numbers and no tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurlight.data.table.files import Table
from recurlight.data.table.symbols import Shape, Vocabulary
from recurlight.errors import DataError

__all__ = ["Fields", "check_numbers", "read_fields"]

_COLUMNS = ("question", "answer")


def check_numbers(numbers: Mapping[str, int] | None) -> dict[str, int]:
    """Return which columns hold numbers, and how many in each cell.

    Raises:
        DataError: A column has another name, or a cell no number.

    Example:
        >>> check_numbers({"answer": 2})
        {'answer': 2}
    """
    for name, count in (numbers or {}).items():
        if name not in _COLUMNS:
            raise DataError(
                f"numbers names the column {name!r}: set data.numbers for question, answer or both"
            )
        if count < 1:
            raise DataError(
                f"numbers has {count} for {name}: set data.numbers.{name} to 1 or more in each cell"
            )
    return dict(numbers or {})


class Fields(NamedTuple):
    """A column of a table: grids whose cells hold numbers, a list being a grid of one row."""

    table: Table
    name: str
    grids: list[NDArray[np.float32]]
    """`(rows, columns, numbers)` each, NaN where an answer has none."""

    @property
    def symbols(self) -> NDArray[np.int64]:
        """There are none."""
        return np.zeros(0, dtype=np.int64)

    @property
    def shapes(self) -> NDArray[np.int64]:
        """Rows and columns of each grid, `(n, 2)`."""
        return np.array([grid.shape[:2] for grid in self.grids], dtype=np.int64)

    def folded(self, shape: Shape) -> Fields:
        """Take rows of as many cells as the canvas has for grids written row by row."""
        flat = (1, shape[0] * shape[1])
        return self._replace(
            grids=[grid.reshape(*shape, -1) if grid.shape[:2] == flat else grid for grid in self.grids]
        )

    def end(self, canvas: NDArray[Any], shape: Shape, mark: int) -> None:
        """Mark nothing: where numbers end is not learnt."""

    def laid(self, vocabulary: Vocabulary, shape: Shape, fill: int) -> NDArray[np.float32]:
        """Lay the grids out at the top left of a canvas, `(n, rows * columns, numbers)`.

        Args:
            vocabulary: Not needed, there are no tokens.
            shape: Rows and columns of the canvas.
            fill: What tokens would be filled up with.

        Raises:
            DataError: An answer is larger than the canvas, or a question is not as large.
        """
        canvas = np.full((len(self.grids), *shape, self.grids[0].shape[2]), np.nan, dtype=np.float32)
        for row, grid in enumerate(self.grids):
            rows, columns = grid.shape[:2]
            whole = (rows, columns) == tuple(shape)
            if not whole and (self.name == "question" or rows > shape[0] or columns > shape[1]):
                room = " x ".join(map(str, shape))
                reason = f"the {self.name} has {rows} x {columns} cells of numbers, the grid {room}"
                advice = "numbers have no padding, give questions of one size" if not whole else ""
                raise self.table.error(row, f"{reason}: {advice or 'set data.grid_shape'}")
            canvas[row, :rows, :columns] = grid
        return canvas.reshape(len(canvas), -1, canvas.shape[3])


def read_fields(table: Table, name: str, numbers: int) -> Fields:
    """Read a column of numbers.

    Args:
        table: The file's rows.
        name: `question` or `answer`.
        numbers: Numbers in each cell. A cell is a number where it is 1, else a list of so many; a list of
            cells is a row, a list of rows a grid. A CSV file has them as JSON, or one row divided by blanks.

    Raises:
        DataError: A value is something else, ragged or not finite; in answers null stands for no number.
    """
    return Fields(table, name, [_grid(table, row, name, numbers) for row in range(len(table.lines))])


def _grid(table: Table, row: int, name: str, numbers: int) -> NDArray[np.float32]:
    """Read one value."""
    value = table.columns[name][row]
    cells = (
        f"a list of {'numbers' if numbers == 1 else f'lists of {numbers} numbers'}, or a list of such rows"
    )
    try:
        with np.errstate(over="ignore"):
            found = np.array(_parsed(value) if table.is_csv else value, dtype=np.float64).astype(np.float32)
    except (ValueError, TypeError, RecursionError):
        raise table.error(row, f"the {name} is no grid of numbers: give {cells}") from None
    grid = found[..., None] if numbers == 1 else found
    grid = grid[None] if grid.ndim == 2 else grid
    if grid.ndim != 3 or grid.shape[2] != numbers or not grid.size:
        raise table.error(row, f"the {name} has the shape {found.shape}: give {cells}")
    if not (np.isfinite(grid) | (np.isnan(grid) & (name == "answer"))).all():
        reason = (
            "a number that is not finite, or none" if name == "question" else "a number that is not finite"
        )
        raise table.error(row, f"the {name} has {reason}: give numbers that float32 holds")
    return grid


def _parsed(value: str) -> Any:
    """Read a field of a CSV file: JSON, or numbers divided by blanks."""
    return json.loads(value) if value.lstrip().startswith("[") else [float(word) for word in value.split()]

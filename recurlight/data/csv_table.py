"""Two text columns of a large CSV file, located without parsing it row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurlight.errors import DataError

__all__ = ["GridTable", "open_table"]

_BLOCK = 1 << 24
_NEWLINE, _COMMA = b"\n"[0], b","[0]
_COLUMNS = ("question", "answer")


class GridTable(NamedTuple):
    """Where the grids of a file are."""

    path: Path
    content: NDArray[np.uint8]
    length: int
    """Characters of a grid."""
    starts: tuple[NDArray[np.int64], ...]
    """First byte of every question and of every answer, `(rows,)` each."""

    @property
    def rows(self) -> int:
        """Number of rows, without the header."""
        return len(self.starts[0])

    def characters(self, column: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the bytes of a column, 0 question or 1 answer, as `(len(rows), length)`."""
        return np.asarray(self.content[self.starts[column][rows][:, None] + np.arange(self.length)])

    def error(self, row: int, reason: str) -> DataError:
        """Return the error for a data row counted from 0; the message counts lines of the file from 1."""
        return _error(self.path, row + 2, reason)

    def refuse(self, rows: NDArray[np.int64], bad: NDArray[np.bool_], reason: str) -> None:
        """Raise the error for the first of the bad rows, if there are any.

        Args:
            rows: Data rows counted from 0, `(n,)`.
            bad: Which of them are bad, `(n,)`.
            reason: What is wrong with them.
        """
        if bad.any():
            raise self.error(int(rows[bad].min()), reason)

    def refuse_characters(
        self, column: int, rows: NDArray[np.int64], unknown: NDArray[np.bool_], known: str
    ) -> None:
        """Raise the error for the first unknown character, if there are any.

        Args:
            column: 0 question, 1 answer.
            rows: Data rows counted from 0, `(n,)`.
            unknown: Which of their characters are unknown, `(n, length)`.
            known: Which are known, for the message.
        """
        if unknown.any():
            place = int(np.flatnonzero(unknown.any(axis=1))[0])
            byte = self.characters(column, rows[place : place + 1])[0][unknown[place]][0]
            raise self.error(int(rows[place]), f"{_COLUMNS[column]} has the character {chr(byte)!r}; {known}")


def _error(path: Path, line: int, reason: str) -> DataError:
    return DataError(f"{path}, row {line}: {reason}")


def open_table(path: Path, length: int) -> GridTable:
    """Find the columns `question` and `answer` of a CSV file and check the shape of every row.

    Fields may not contain commas. The file is mapped, not read: memory is 8 bytes for each comma and line.

    Args:
        path: The file.
        length: Characters that each grid must have.

    Raises:
        DataError: The file is missing, empty, not UTF-8, or a row has other columns or lengths.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; set data.path to a folder with train.csv and test.csv")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; it needs the header source,question,answer,rating")
    content: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
    ends, commas, high = _marks(content)
    _check_text(path, content, ends, high)
    header = _header(path, bytes(content[: ends[0]]).decode("utf-8-sig"))
    if len(ends) == 1:
        raise DataError(f"{path}: the file has a header and no rows")
    edges = _fields(path, ends, commas, len(header))
    returns = content[edges[:, -1] - 1] == b"\r"[0]
    edges[:, -1] -= returns  # lines that end as on Windows
    starts = tuple(_starts(path, edges, header.index(name), name, length) for name in _COLUMNS)
    return GridTable(path, content, length, starts)


def _header(path: Path, text: str) -> list[str]:
    """Names of the columns."""
    header = text.strip().split(",")
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        reason = f"no column {' and '.join(missing)}; the header must be source,question,answer,rating"
        raise _error(path, 1, reason)
    return header


def _starts(path: Path, edges: NDArray[np.int64], column: int, name: str, length: int) -> NDArray[np.int64]:
    """First bytes of a column whose fields must all be `length` long."""
    first = edges[:, column] + 1
    found = edges[:, column + 1] - first
    wrong = np.flatnonzero(found != length)
    if len(wrong):
        row = int(wrong[0])
        reason = f"{name} has {found[row]} characters instead of {length}; check data.size"
        raise _error(path, row + 2, reason)
    return first


def _marks(content: NDArray[np.uint8]) -> tuple[NDArray[np.int64], ...]:
    """Positions of line ends (without blank lines at the end), commas and bytes beyond ASCII."""
    found: tuple[list[NDArray[Any]], ...] = ([], [], [])
    for at in range(0, len(content), _BLOCK):
        block = np.asarray(content[at : at + _BLOCK])
        for marks, here in zip(found, (block == _NEWLINE, block == _COMMA, block >= 128), strict=True):
            marks.append(np.flatnonzero(here) + at)
    ends, commas, high = (np.concatenate(marks) for marks in found)
    if not len(ends) or ends[-1] != len(content) - 1:
        ends = np.append(ends, len(content))
    while len(ends) > 1 and not bytes(content[ends[-2] : ends[-1]]).strip():
        ends = ends[:-1]
    return ends, commas, high


def _check_text(
    path: Path, content: NDArray[np.uint8], ends: NDArray[np.int64], high: NDArray[np.int64]
) -> None:
    """Refuse bytes that are not UTF-8; only lines beyond ASCII are looked at."""
    for line in np.unique(np.searchsorted(ends, high)):
        start = ends[line - 1] + 1 if line else 0
        try:
            bytes(content[start : ends[line]]).decode("utf-8")
        except UnicodeDecodeError:
            raise _error(path, int(line) + 1, "not UTF-8 text; save the file as UTF-8") from None


def _fields(
    path: Path, ends: NDArray[np.int64], commas: NDArray[np.int64], columns: int
) -> NDArray[np.int64]:
    """Separators around the fields of every data row, `(rows, columns + 1)`."""
    commas = commas[commas < ends[-1]]
    counts = np.diff(np.searchsorted(commas, ends))
    wrong = np.flatnonzero(counts != columns - 1)
    if len(wrong):
        row = int(wrong[0])
        raise _error(path, row + 2, f"{counts[row] + 1} columns instead of {columns}")
    inner = commas[np.searchsorted(commas, ends[0]) :].reshape(len(ends) - 1, columns - 1)
    return np.concatenate([ends[:-1, None], inner, ends[1:, None]], axis=1)

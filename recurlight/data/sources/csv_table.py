"""Text columns of a large CSV file, located without parsing it row by row."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurlight.data.sources.source_files import ANSWER, QUESTION, HeaderError, columns, contents
from recurlight.errors import DataError

__all__ = ["GridTable", "open_table"]

_BLOCK = 1 << 24
_NEWLINE, _RETURN, _COMMA, _QUOTE = b'\n\r,"'
_MARK = b"\xef\xbb\xbf"  # of the byte order, as spreadsheets begin files


class GridTable(NamedTuple):
    """Where the grids of a file are."""

    path: Path
    content: NDArray[np.uint8]
    length: int
    """Characters of a grid."""
    starts: tuple[NDArray[np.int64], ...]
    """First byte of every question, `(rows,)`, and of every answer where the file has them."""

    @property
    def rows(self) -> int:
        """Number of rows, without the header."""
        return len(self.starts[0])

    @property
    def answered(self) -> bool:
        """Whether the file has answers."""
        return len(self.starts) > 1

    def characters(self, column: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the bytes of a column, 0 question or 1 answer, as `(len(rows), length)`."""
        return np.asarray(self.content[self.starts[column][rows][:, None] + np.arange(self.length)])

    def error(self, row: int, reason: str) -> DataError:
        """Return the error for a data row counted from 0; the message counts lines of the file from 1."""
        return _error(self.path, self.content, int(self.starts[0][row]), reason)

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
            name = (QUESTION, ANSWER)[column]
            raise self.error(int(rows[place]), f"{name} has the character {chr(byte)!r}; {known}")


def _error(path: Path, content: NDArray[np.uint8], at: int, reason: str) -> DataError:
    """Return the error for the line that holds a byte."""
    line = 1 + int(np.count_nonzero(content[:at] == _NEWLINE))
    return DataError(f"{path}, row {line}: {reason}")


def open_table(path: Path, length: int) -> GridTable:
    """Find the questions and answers of a CSV file and check the shape of every row.

    Columns are found by the names in the header, see `source_files`, or where there is none
    by their lengths: the first that is as long as a grid has the questions, the next one the answers. Fields
    may be quoted. A file without answers is opened all the same. Files are mapped, not read, unless they are
    packed: memory is 8 bytes for each comma, line and quote.

    Args:
        path: The file, packed where its name ends in `.gz`.
        length: Characters that each grid must have.

    Raises:
        DataError: The file is missing, empty, not UTF-8, or a row has other columns or lengths.
    """
    content = contents(path)
    ends, commas, quotes, high = _marks(content)
    ends, commas = _outside(path, content, ends, commas, quotes)
    _check_text(path, content, ends, high)
    begin = len(_MARK) if bytes(content[: len(_MARK)]) == _MARK else 0
    ends = np.append(begin - 1, ends)
    first = _first_row(path, bytes(content[begin : ends[1]]))
    places, headed = _places(path, first, length)
    if len(ends) - headed < 2:
        raise DataError(f"{path}: the file has a header and no rows")
    edges = _fields(path, content, ends[headed:], commas, len(first))
    edges[:, -1] -= content[edges[:, -1] - 1] == _RETURN  # lines that end as on Windows
    names = (QUESTION, ANSWER)
    starts = (_starts(path, content, edges, *one, length) for one in zip(places, names, strict=False))
    return GridTable(path, content, length, tuple(starts))


def _first_row(path: Path, line: bytes) -> list[str]:
    text = line.decode("utf-8").rstrip("\r\n")
    if "\r" in text:
        reason = "lines end in carriage returns alone; save the file with the line ends of Unix or Windows"
        raise DataError(f"{path}, row 1: {reason}")
    try:
        return next(csv.reader([text]), [""])
    except csv.Error as error:
        raise DataError(f"{path}, row 1: malformed CSV, {error}") from None


def _places(path: Path, first: list[str], length: int) -> tuple[list[int], int]:
    """Return the numbers of the columns with questions and answers, and how many lines the header has."""
    try:
        named = columns(first)
    except HeaderError as error:
        raise DataError(f"{path}, row 1: {error}") from None
    if QUESTION in named:
        return [first.index(name) for name in named.values()], 1
    grids = [place for place, field in enumerate(first) if len(field) == length]
    if len(grids) == 2 or (len(first) == 1 and grids):
        return grids, 0
    raise DataError(
        f"{path}, row 1: no column question; give the header question,answer or puzzle,solution, or rows of "
        f"two grids of {length} characters without one, divided by commas; it is {','.join(first)[:60]!r}"
    )


def _starts(
    path: Path, content: NDArray[np.uint8], edges: NDArray[np.int64], column: int, name: str, length: int
) -> NDArray[np.int64]:
    """First bytes of a column whose fields must all be `length` long, without their quotes."""
    first, last = edges[:, column] + 1, edges[:, column + 1]
    end = len(content) - 1
    quoted = (content[np.minimum(first, end)] == _QUOTE) & (last - first > 1)
    first += quoted
    found = last - quoted - first
    wrong = np.flatnonzero(found != length)
    if len(wrong):
        row = int(wrong[0])
        reason = f"{name} has {found[row]} characters instead of {length}; check data.size"
        raise _error(path, content, int(edges[row, 0]) + 1, reason)
    return first


def _marks(content: NDArray[np.uint8]) -> tuple[NDArray[np.int64], ...]:
    """Positions of line ends (without blank lines at the end), commas, quotes and bytes beyond ASCII."""
    found: tuple[list[NDArray[Any]], ...] = ([], [], [], [])
    for at in range(0, len(content), _BLOCK):
        block = np.asarray(content[at : at + _BLOCK])
        kinds = (block == _NEWLINE, block == _COMMA, block == _QUOTE, block >= 128)
        for marks, here in zip(found, kinds, strict=True):
            marks.append(np.flatnonzero(here) + at)
    ends, commas, quotes, high = (np.concatenate(marks) for marks in found)
    if not len(ends) or ends[-1] != len(content) - 1:
        ends = np.append(ends, len(content))
    while len(ends) > 1 and not bytes(content[ends[-2] : ends[-1]]).strip():
        ends = ends[:-1]
    return ends, commas, quotes, high


def _outside(
    path: Path, content: NDArray[np.uint8], ends: NDArray[np.int64], commas: NDArray[np.int64], quotes: Any
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Leave out line ends and commas that stand inside quotes."""
    if len(quotes) % 2:
        raise _error(path, content, int(quotes[-1]), "malformed CSV, a quote that nothing closes")
    if not len(quotes):
        return ends, commas
    even = [np.searchsorted(quotes, marks) % 2 == 0 for marks in (ends, commas)]
    return ends[even[0]], commas[even[1]]


def _check_text(
    path: Path, content: NDArray[np.uint8], ends: NDArray[np.int64], high: NDArray[np.int64]
) -> None:
    """Refuse bytes that are not UTF-8; only lines beyond ASCII are looked at."""
    for line in np.unique(np.searchsorted(ends, high[high < ends[-1]])):
        start = int(ends[line - 1]) + 1 if line else 0
        try:
            bytes(content[start : ends[line]]).decode("utf-8")
        except UnicodeDecodeError as error:
            reason = "not UTF-8 text; save the file as UTF-8"
            raise _error(path, content, start + error.start, reason) from None


def _fields(
    path: Path, content: NDArray[np.uint8], ends: NDArray[np.int64], commas: NDArray[np.int64], columns: int
) -> NDArray[np.int64]:
    """Separators around the fields of every data row, `(rows, columns + 1)`.

    Args:
        path: For messages.
        content: For messages.
        ends: End of the line before the first row, and of every row, `(rows + 1,)`.
        commas: Positions of all commas.
        columns: Fields that each row must have.
    """
    inner = commas[(commas > ends[0]) & (commas < ends[-1])]
    counts = np.diff(np.searchsorted(inner, ends))
    wrong = np.flatnonzero(counts != columns - 1)
    if len(wrong):
        row = int(wrong[0])
        raise _error(path, content, int(ends[row]) + 1, f"{counts[row] + 1} columns instead of {columns}")
    inner = inner.reshape(len(counts), columns - 1)
    edges: NDArray[np.int64] = np.hstack([ends[:-1, None], inner, ends[1:, None]])
    return edges

"""CSV and JSON-lines files of questions and answers, read row by row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from recurlight.data.sources.source_files import (
    ANSWER,
    QUESTION,
    HeaderError,
    columns,
    contents,
    ending,
    missing,
    part_file,
)
from recurlight.errors import DataError

__all__ = ["Table", "find_tables", "read_table"]

_OPTIONAL = ("task", "id")
_SUFFIXES = (".csv", ".jsonl")
_PARTS = ("train", "val", "test")


class Table(NamedTuple):
    """The rows of a file."""

    path: Path
    lines: list[int]
    """Line of the file, from 1, on which each row begins."""
    columns: dict[str, list[Any]]
    """`question`, and `answer`, `task` and `id` where the file has them."""

    @property
    def is_csv(self) -> bool:
        """Whether all values are texts, those of grids too; packed or not."""
        return ending(self.path, (".csv",)) is not None

    @property
    def answered(self) -> bool:
        """Whether the file has answers."""
        return ANSWER in self.columns

    def error(self, row: int, reason: str) -> DataError:
        """Return the error for a row counted from 0; the message has its line in the file."""
        return DataError(f"{self.path}, row {self.lines[row]}: {reason}")

    def missing(self, name: str, reason: str) -> DataError:
        """Return the error for a column that the file lacks."""
        return DataError(f"{self.path}: no column {name}; {reason}")


def find_tables(path: Path) -> dict[str, Path]:
    """Return the files `train`, `val` and `test` of a folder, as far as it has them, or one file as `train`.

    Raises:
        DataError: There is no such file, neither a training nor a test file, or two files for one part.
    """
    if path.is_file():
        return {"train": path}
    if not path.is_dir():
        advice = "set data.path to a .csv or .jsonl file, or to a folder with train.csv"
        raise missing(path, f"{advice} and perhaps val.csv and test.csv")
    found = {part: part_file(path, part, _SUFFIXES) for part in _PARTS}
    files = {part: file for part, file in found.items() if file}
    if not files.keys() & {"train", "test"}:
        raise DataError(
            f"{path} has neither train.csv nor train.jsonl: set data.path to a folder with one, or a file"
        )
    return files


def read_table(path: Path) -> Table:
    """Read a file; it must have a column `question`, and may have `answer`, `task` and `id`.

    Questions and answers are also found under the other names of `recurlight.data.sources.source_files`.

    Raises:
        DataError: With file, row and reason.
    """
    kind = ending(path, _SUFFIXES)
    if kind is None:
        raise DataError(f"{path} ends in {path.suffix or 'nothing'!r}: data.path takes .csv and .jsonl files")
    text = _text(path)
    if not text.strip():
        raise DataError(f"{path}: the file is empty; it needs the columns question and answer")
    table = Table(path, [], {})
    for line, row in _csv(path, text) if kind == ".csv" else _jsonl(path, text):
        known = {name: row[name] for name in (QUESTION, ANSWER, *_OPTIONAL) if name in row}
        if not table.lines:
            table.columns.update({name: [] for name in known})
        if differing := known.keys() ^ table.columns.keys():
            name = min(differing)
            lack = "has no" if name in table.columns else "has a"
            raise _error(path, line, f"it {lack} {name!r}, unlike row {table.lines[0]}")
        table.lines.append(line)
        for name, value in known.items():
            table.columns[name].append(value)
    if not table.lines:
        raise DataError(f"{path}: the file has a header and no rows")
    return table


def _error(path: Path, line: int, reason: str) -> DataError:
    return DataError(f"{path}, row {line}: {reason}")


def _text(path: Path) -> str:
    content = contents(path).tobytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _error(path, line, "not UTF-8 text; save the file as UTF-8") from None


def _csv(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each row with its line."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for fields in reader:
            if not fields:
                pass  # a blank line
            elif header is None:
                header = _header(path, line, [name.strip() for name in fields])
            elif len(fields) != len(header):
                raise _error(
                    path, line, f"{len(fields)} columns instead of {len(header)}; quote fields with commas"
                )
            else:
                yield line, dict(zip(header, fields, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise _error(path, line, f"malformed CSV, {error}") from None


def _header(path: Path, line: int, names: list[str]) -> list[str]:
    """Return the names of the columns, questions and answers under the names used here."""
    found = _named(path, line, names)
    if QUESTION not in found:
        missing = " and ".join(kind for kind in (QUESTION, ANSWER) if kind not in found)
        raise _error(
            path,
            line,
            f"no column {missing}; the header must name question and answer, it is {','.join(names)}",
        )
    twice = [name for name in _OPTIONAL if names.count(name) > 1]
    if twice:
        raise _error(path, line, f"two columns are called {twice[0]}; rename one")
    kinds = {name: kind for kind, name in found.items()}
    return [kinds.get(name, name) for name in names]


def _named(path: Path, line: int, names: Iterable[str]) -> dict[str, str]:
    try:
        return columns(list(names))
    except HeaderError as error:
        raise _error(path, line, str(error)) from None


def _jsonl(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each row with its line."""
    for line, words in enumerate(text.split("\n"), start=1):
        if not words.strip():
            continue
        try:
            row = json.loads(words)
        except json.JSONDecodeError as error:
            raise _error(path, line, f"malformed JSON, {error.msg} at column {error.colno}") from None
        except (ValueError, RecursionError):
            raise _error(path, line, "malformed JSON, a number or a nesting beyond all bounds") from None
        if not isinstance(row, dict):
            raise _error(path, line, 'each line must be one object, {"question": ..., "answer": ...}')
        found = _named(path, line, row)
        if QUESTION not in found:
            missing = " and ".join(repr(kind) for kind in (QUESTION, ANSWER) if kind not in found)
            raise _error(path, line, f"no {missing}; each object needs a question and an answer")
        yield line, row | {kind: row[name] for kind, name in found.items()}

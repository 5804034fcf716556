"""CSV and JSON-lines files of questions and answers, read row by row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from recurlight.errors import DataError, suggestion

__all__ = ["Table", "find_tables", "read_table"]

_REQUIRED = ("question", "answer")
_OPTIONAL = ("task", "id")
_SUFFIXES = (".csv", ".jsonl")
_PARTS = ("train", "val", "test")


class Table(NamedTuple):
    """The rows of a file."""

    path: Path
    lines: list[int]
    """Line of the file, from 1, on which each row begins."""
    columns: dict[str, list[Any]]
    """`question` and `answer`, and `task` and `id` where the file has them."""

    def error(self, row: int, reason: str) -> DataError:
        """Return the error for a row counted from 0; the message has its line in the file."""
        return DataError(f"{self.path}, row {self.lines[row]}: {reason}")


def find_tables(path: Path) -> dict[str, Path]:
    """Return the files `train`, `val` and `test` of a folder, as far as it has them, or one file as `train`.

    Raises:
        DataError: There is no such file, no training file, or two files for one part.
    """
    if path.is_file():
        return {"train": path}
    if not path.is_dir():
        near = suggestion(str(path), map(str, path.parent.glob("*"))) if path.parent.is_dir() else ""
        raise DataError(
            f"{path}: no such file or folder{near or ';'} set data.path to a .csv or .jsonl file, or to a "
            "folder with train.csv and perhaps val.csv and test.csv"
        )
    files = {}
    for part in _PARTS:
        found = [path / f"{part}{suffix}" for suffix in _SUFFIXES if (path / f"{part}{suffix}").is_file()]
        if len(found) == 2:
            raise DataError(f"{path} has {found[0].name} and {found[1].name}: remove one of them")
        if found:
            files[part] = found[0]
    if "train" not in files:
        raise DataError(
            f"{path} has neither train.csv nor train.jsonl: set data.path to a folder with one, or a file"
        )
    return files


def read_table(path: Path) -> Table:
    """Read a file; it must have the columns `question` and `answer`, and may have `task` and `id`.

    Raises:
        DataError: With file, row and reason.
    """
    if path.suffix not in _SUFFIXES:
        raise DataError(f"{path} ends in {path.suffix or 'nothing'!r}: data.path takes .csv and .jsonl files")
    text = _text(path)
    if not text.strip():
        raise DataError(f"{path}: the file is empty; it needs the columns question and answer")
    table = Table(path, [], {})
    for line, row in _csv(path, text) if path.suffix == ".csv" else _jsonl(path, text):
        known = {name: row[name] for name in (*_REQUIRED, *_OPTIONAL) if name in row}
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
    content = path.read_bytes()
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
    missing = " and ".join(name for name in _REQUIRED if name not in names)
    if missing:
        raise _error(
            path,
            line,
            f"no column {missing}; the header must name question and answer, it is {','.join(names)}",
        )
    twice = [name for name in (*_REQUIRED, *_OPTIONAL) if names.count(name) > 1]
    if twice:
        raise _error(path, line, f"two columns are called {twice[0]}; rename one")
    return names


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
        missing = " and ".join(repr(name) for name in _REQUIRED if name not in row)
        if missing:
            raise _error(path, line, f"no {missing}; each object needs a question and an answer")
        yield line, row

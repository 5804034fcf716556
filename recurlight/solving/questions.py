"""Questions as tensors, from texts, lists, arrays or tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurlight.errors import DataError
from recurlight.solving.task import Task
from recurlight.types import Sizes

__all__ = ["as_questions", "as_tasks"]


def as_questions(given: Any, sizes: Sizes, task: Task) -> Tensor:
    """Return questions as tokens `(B, L)` int64, or as numbers `(B, L, F)` float32, on the CPU.

    Args:
        given: A text, several, or tokens or numbers, `(L,)`, `(B, L)` or `(B, L, F)`.
        sizes: Of the model.
        task: Says how texts are written.

    Raises:
        DataError: With the number of the question, what is wrong and what is wanted.
    """
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Sequence) and all(isinstance(each, str) for each in given):
        return _checked(torch.tensor(_read(given, task)).view(len(given), -1), sizes) if given else _no(sizes)
    return _checked(_tensor(given, sizes), sizes)


def _no(sizes: Sizes) -> Tensor:
    """No questions at all."""
    return torch.zeros(0, sizes.tokens, *filter(None, [sizes.features]), dtype=torch.int64)


def _read(texts: Sequence[str], task: Task) -> list[list[int]]:
    """Read texts."""
    if task.wording is None:
        raise DataError(
            f"the checkpoint does not tell how its questions are written ({task.why}): give arrays of tokens "
            "or numbers"
        )
    found = []
    for number, text in enumerate(texts, 1):
        try:
            found.append(task.wording.read(text))
        except DataError as error:
            raise DataError(f"question {number}: {error}" if len(texts) > 1 else str(error)) from None
    return found


def _tensor(given: Any, sizes: Sizes) -> Tensor:
    """Return arrays with an axis of questions."""
    kind = torch.float32 if sizes.features else torch.int64
    try:
        found = torch.as_tensor(given).detach().cpu()
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError("the questions are no array: give texts, or tokens (B, L)") from error
    if not sizes.features and found.is_floating_point() and found.numel():
        raise DataError(f"the questions are {found.dtype}: give texts, or tokens of a whole-number dtype")
    axes = 3 if sizes.features else 2
    return (found[None] if found.ndim == axes - 1 else found).to(kind)


def _checked(questions: Tensor, sizes: Sizes) -> Tensor:
    """Refuse what the model was not made for."""
    wanted = (sizes.tokens, sizes.features) if sizes.features else (sizes.tokens,)
    if questions.shape[1:] != wanted:
        letters = f"(B, {', '.join(map(str, wanted))})"
        raise DataError(f"the questions are {tuple(questions.shape)}: give {letters}, or texts")
    if sizes.features and not questions.isfinite().all():
        raise DataError("the questions have a number that is not finite: give finite ones")
    if not sizes.features and questions.numel():
        low, high = int(questions.min()), int(questions.max())
        if low < 0 or high >= sizes.vocab:
            raise DataError(
                f"the questions have the token {low if low < 0 else high}: give 0 to {sizes.vocab - 1}"
            )
    return questions


def as_tasks(given: int | Sequence[int] | Tensor | None, count: int, sizes: Sizes) -> Tensor:
    """Return the number of each question's task, `(B,)` int64.

    Raises:
        DataError: The model tells tasks apart and they are not given, or are none of its tasks.
    """
    known = sizes.tasks if sizes.prefix else 1
    if given is None and known > 1:
        raise DataError(f"the model tells {known} tasks apart: give its number, task, from 0 to {known - 1}")
    found = torch.as_tensor(0 if given is None else given, dtype=torch.int64).cpu()
    found = found.expand(count) if found.ndim == 0 else found
    if found.shape != (count,):
        raise DataError(f"task has the shape {tuple(found.shape)}: give one number, or {count}")
    if sizes.prefix and count and not 0 <= int(found.min()) <= int(found.max()) < known:
        raise DataError(f"task is from {int(found.min())} to {int(found.max())}: give 0 to {known - 1}")
    return found

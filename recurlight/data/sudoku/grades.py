"""How hard Sudoku puzzles are, and accuracy by it."""

from __future__ import annotations

from functools import lru_cache, partial

import torch
from torch import Tensor

from recurlight.data.sudoku.generate import SYMBOLS, count_guesses
from recurlight.metrics.by_group import ExactByGroup
from recurlight.types import Batch

__all__ = ["exact_by_guesses"]

_FIRST = {"0": 0, "1-2": 1, "3-5": 3, "6+": 6}
"""Grades and the fewest guesses of each."""


def exact_by_guesses(size: int) -> ExactByGroup:
    """Return a metric of exact accuracy by the guesses that a solver needs, see `count_guesses`.

    Args:
        size: 4, 6 or 9; puzzles of size 16 can take the solver hours.

    Example:
        >>> metric = exact_by_guesses(4)
        >>> metric.figures([16])[0]
        'guesses_0/exact_at_16'
    """
    return ExactByGroup("guesses", list(_FIRST), partial(_grades, size))


def _grades(size: int, batch: Batch) -> Tensor:
    """Number of each row's grade, `(B,)` int64; puzzles are solved on the CPU."""
    questions = batch.inputs.to("cpu", torch.uint8).numpy()
    guesses = [_guesses(size, question.tobytes()) for question in questions]
    edges = torch.tensor([*_FIRST.values()])
    return torch.searchsorted(edges, torch.tensor(guesses), right=True).sub(1).to(batch.task.device)


@lru_cache(maxsize=1 << 14)  # each puzzle is asked for after 1, 2, 4, ... segments
def _guesses(size: int, question: bytes) -> int:
    return count_guesses(size, "".join(SYMBOLS[max(token - 1, 0)] for token in question))

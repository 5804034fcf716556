"""Batches of data, drawn and compared."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from recurlight.data.base import PuzzleData
from recurlight.types import Batch

__all__ = ["BATCHES", "equal", "rows", "same", "stream"]

BATCHES = 3


def stream(data: PuzzleData, count: int = BATCHES) -> list[Batch]:
    """Return the first batches of training."""
    return list(islice(data.train_dataloader(), count))


def rows(loader: DataLoader[Batch]) -> list[list[float]]:
    """Return every row that is asked, as plain numbers; NaN, which equals nothing, as infinity."""
    return [
        [*question.flatten().tolist(), *answer.nan_to_num(torch.inf).flatten().tolist(), int(task)]
        for batch in loader
        for question, answer, task, asked in zip(*batch, batch.asked(), strict=True)
        if asked
    ]


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Compare arrays, in which NaN equals NaN."""
    return np.array_equal(one, other, equal_nan=True)


def equal(one: list[Batch], other: list[Batch]) -> bool:
    """Return whether batches hold the same; NaN equals NaN."""
    return all(
        same(a.numpy(), b.numpy())
        for first, second in zip(one, other, strict=True)
        for a, b in zip(first, second, strict=True)
    )

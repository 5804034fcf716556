"""Answers of a prediction that are worked out before their batch is asked for, so that no slot is idle."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn

from recurlight.recursion.driver import Recursion
from recurlight.training.attached import attached_data
from recurlight.types import Batch, Prediction

__all__ = ["Ahead"]


class Ahead:
    """A stream over the questions of the trainer's data, which a prediction reads a second time.

    A trainer hands over a batch and wants its answer before the next, and a stream needs the next questions
    to fill its slots. The data are served twice, in the same order: by the trainer, and to the stream, which
    is as far ahead as its slots want. The answer of each batch is then given when the trainer asks for it.
    """

    def __init__(self) -> None:
        self._answers: Iterator[tuple[Batch, Prediction]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Ahead, ()  # a copy of a model is not in the middle of anything

    def begin(
        self, trainer: Any, recursion: Recursion, first: Batch, max_segments: int | None, cycles: int | None
    ) -> None:
        """Start over, if the order of the questions is known and no part of the model draws.

        Args:
            trainer: Works on the data.
            recursion: Answers.
            first: The first batch; its rows are the slots.
            max_segments: Most segments of a question; None for the model's own cap.
            cycles: Cycles in a segment; None for the model's own.
        """
        data = attached_data(trainer)
        if data is not None and not recursion.draws(first):
            batches = islice(data.predict_dataloader(), _limit(trainer))
            alike = (Batch(*map(torch.Tensor.to, batch, first)) for batch in batches)  # device and dtype
            self._answers = recursion.stream(alike, len(first.task), max_segments, cycles)

    def answer(self, batch: Batch) -> Prediction | None:
        """Return the answer of a batch; None where it is not worked out ahead."""
        if self._answers is None:
            return None
        for asked, found in islice(self._answers, 1):
            if torch.equal(asked.inputs, batch.inputs) and torch.equal(asked.task, batch.task):
                return found
        rank_zero_warn(
            "the data's predict_dataloader gives other questions the second time, so that each batch is "
            "answered by itself, which is slower: let it give the same ones in the same order"
        )
        self.end()
        return None

    def end(self) -> None:
        """Forget what was begun."""
        self._answers = None


def _limit(trainer: Any) -> int | None:
    """Return how many batches the trainer asks for; None for all there are."""
    (count,) = trainer.num_predict_batches
    return int(count) if count < float("inf") else None

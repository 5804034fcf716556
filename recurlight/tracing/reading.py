"""The levels of a state, read through the decoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurlight.codec.base import Decoder
from recurlight.rendering.looks import Drawable
from recurlight.rendering.samples import samples
from recurlight.tracing.records import Reading
from recurlight.types import Batch, Prediction, supervised

__all__ = ["Reader"]


class Reader:
    """Reads one row, and tells what is other than at the last time.

    Args:
        decoder: Reads the answer out, and every level of the same shape.
        one: Question and answer of the row, `(1, ...)`.
        data: Says how they look.
        row: The row.
    """

    def __init__(self, decoder: Decoder, one: Batch, data: Drawable, row: int) -> None:
        self.decoder, self.one, self.data, self.row = decoder, one, data, row
        counts = supervised(one.labels)[0]
        counts = counts.any(dim=-1) if counts.ndim > 1 else counts
        self.counts = counts if bool(counts.any()) else torch.ones_like(counts)
        self.counted: list[int] = self.counts.nonzero().squeeze(1).tolist()
        self.levels: list[str] = []
        self.unread: list[str] = []
        self.seen: set[int] = set()
        """Tokens that occurred."""
        self._states: dict[str, Tensor] = {}
        self._readings: dict[str, Reading] = {}

    def read(self, state: Any) -> dict[str, Reading]:
        """Return what those levels say that have changed, by name."""
        if not self.levels:
            self._sort(state)
        found: dict[str, Reading] = {}
        for level in self.levels:
            field = getattr(state, level)
            own = field[self.row]
            if level not in self._states or not torch.equal(own, self._states[level]):
                self._states[level] = own.clone()
                found |= self.take(level, self._read_out(field)[self.row : self.row + 1])
        return found

    def _read_out(self, field: Tensor) -> Tensor:
        """Read a level out with the question at hand, in as many rows as the model has."""
        parts = (part.to(field.device).expand(len(field), *part.shape[1:]) for part in self.one)
        return self.decoder.read(field, Batch(*parts))

    def _sort(self, state: Any) -> None:
        """Find the levels that the decoder can read: those that are shaped as the answer."""
        others = [name for name in state._fields if name != "answer"]
        shape, kind = state.answer.shape, state.answer.dtype
        alike = [n for n in others if (f := getattr(state, n)).shape == shape and f.dtype == kind]
        self.levels, self.unread = ["answer", *alike], [name for name in others if name not in alike]

    def take(self, level: str, logits: Tensor) -> dict[str, Reading]:
        """Note what a level says, `(1, L, V)`, and return it where it is other than before."""
        row = Prediction(logits, self.one.task, self.one.task, self.one.task)
        (shown,) = samples(self.one, row, 1, self.data)
        before = self._readings.get(level)
        changed = []
        if before:
            pairs = zip(before.tokens, shown.prediction, strict=True)
            changed = [cell for cell, (one, other) in enumerate(pairs) if one != other]
        wrong = [cell for cell in self.counted if shown.wrong[cell]]
        reading = Reading(shown.prediction, self._confidence(logits), changed, wrong)
        if before and not changed and before.confidence == reading.confidence:
            return {}
        self.seen.update(shown.prediction)
        self._readings[level] = reading
        return {level: reading}

    def _confidence(self, logits: Tensor) -> list[int | None]:
        """Return how likely the likeliest token of each cell is, in percent."""
        if self.one.labels.is_floating_point():
            return []
        likely = (logits[0].softmax(dim=-1).amax(dim=-1) * 100).nan_to_num(0).round().int().tolist()
        return [sure if counts else None for sure, counts in zip(likely, self.counts.tolist(), strict=True)]

    def sure(self) -> float | None:
        """Return the mean confidence of the answer as it stands, from 0 to 1."""
        counted = [sure for sure in self._readings["answer"].confidence if sure is not None]
        return sum(counted) / len(counted) / 100 if counted else None

"""Running figures of training, kept on the device so that no step waits for it."""

from __future__ import annotations

import torch
from torch import Tensor

from recurlight.metrics import RunningRatio
from recurlight.types import Carry

__all__ = ["Progress"]


class Progress:
    """Exact accuracy and segments of the samples that slots finished lately, and samples taken so far."""

    def __init__(self) -> None:
        self.exact = RunningRatio()
        self.segments = RunningRatio()
        self.samples = torch.zeros((), dtype=torch.int64)

    def update(self, before: Carry, after: Carry, correct: Tensor) -> None:
        """Take in one step.

        Args:
            before: Carry on entry: its halted slots took a sample.
            after: Carry on exit: its halted slots finished one.
            correct: Whether each slot's answer is right, `(B,)` bool.
        """
        finished = after.halted.sum()
        self.exact.update((after.halted & correct).sum(), finished)
        self.segments.update((after.halted * after.age).sum(), finished)
        self.samples = self.samples.to(after.age.device) + before.halted.sum()

    def figures(self) -> dict[str, Tensor]:
        """Return what the progress bar shows besides the loss."""
        return {"exact": self.exact.value(), "segments": self.segments.value()}

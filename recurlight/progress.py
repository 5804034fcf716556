"""Running figures of training, kept on the device so that no step waits for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurlight.metrics import RunningRatio
from recurlight.ranks import total, world_size
from recurlight.types import Carry

__all__ = ["Progress"]


class Progress:
    """Loss, exact accuracy and segments of the samples that slots finished lately, and samples taken so far.

    Each counts the slots of all ranks.
    """

    def __init__(self) -> None:
        self.loss = torch.zeros(())
        self.exact = RunningRatio()
        self.segments = RunningRatio()
        self.samples = torch.zeros((), dtype=torch.int64)

    def update(self, loss: Tensor, before: Carry, after: Carry, correct: Tensor) -> None:
        """Take in one step.

        Args:
            loss: Mean loss of the slots, 0-d.
            before: Carry on entry: its halted slots took a sample.
            after: Carry on exit: its halted slots finished one.
            correct: Whether each slot's answer is right, `(B,)` bool.
        """
        counts = (after.halted & correct, after.halted, after.halted * after.age, before.halted)
        sums = total(torch.stack([loss.detach(), *(count.sum().to(loss) for count in counts)]))
        self.loss = sums[0] / world_size()  # every rank has equally many slots
        self.exact.update(sums[1], sums[2])
        self.segments.update(sums[3], sums[2])
        self.samples = self.samples.to(sums.device) + sums[4].long()

    def figures(self) -> dict[str, Tensor]:
        """Return what the progress bar shows."""
        return {"loss": self.loss, "exact": self.exact.value(), "segments": self.segments.value()}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that later figures depend on; no later update changes it."""
        return {
            "exact": self.exact.state_dict(),
            "segments": self.segments.state_dict(),
            "samples": self.samples,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.exact.load_state_dict(state["exact"])
        self.segments.load_state_dict(state["segments"])
        self.samples = state["samples"]

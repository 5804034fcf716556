"""Running figures of training, kept on the device so that no step waits for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.ranks import total, world_size
from recurlight.types import Carry

__all__ = ["Progress", "RunningRatio"]


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
        rows = len(after.age) // len(correct)  # the rows of a slot begin and finish together
        taken, halted, age = (field[::rows] for field in (before.halted, after.halted, after.age))
        counts = (halted & correct, halted, halted * age, taken)
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


class RunningRatio:
    """A ratio of two decayed sums, kept on the device: the smoothed number of a progress bar.

    `value = sum_i decay^i part_(t-i) / sum_i decay^i whole_(t-i)`, so that batches weigh by their size.
    Use `ReasoningMetrics` for numbers to report: this one forgets, and sees only what it is given.

    Args:
        decay: Weight of the past at each update, from 0 to below 1.

    Raises:
        IncompatibleComponents: The decay is out of range.

    Example:
        >>> ratio = RunningRatio(decay=0.5)
        >>> ratio.update(torch.tensor(4), torch.tensor(4))
        >>> ratio.update(torch.tensor(0), torch.tensor(2))
        >>> ratio.value()
        tensor(0.5000)
    """

    def __init__(self, decay: float = 0.99) -> None:
        if not 0.0 <= decay < 1.0:
            raise IncompatibleComponents(f"RunningRatio got decay={decay}: give a share from 0 to below 1")
        self.decay = decay
        self._sums: tuple[Tensor, Tensor] | None = None

    def update(self, part: Tensor, whole: Tensor) -> None:
        """Take a batch's numerator and denominator, 0-d tensors of any dtype."""
        new = part.detach().float(), whole.detach().float()
        if self._sums is not None:
            new = self._sums[0] * self.decay + new[0], self._sums[1] * self.decay + new[1]
        self._sums = new

    def value(self) -> Tensor:
        """Return the ratio, 0-d float32 on the device of the updates; 0 while there is nothing to divide."""
        if self._sums is None:
            return torch.zeros(())
        part, whole = self._sums
        return torch.where(whole > 0, part / whole, 0.0)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the two sums; no later update changes them."""
        return {} if self._sums is None else {"part": self._sums[0], "whole": self._sums[1]}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from these sums."""
        self._sums = (state["part"], state["whole"]) if state else None

"""The truncation contract: which updates of a segment carry gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from recurlight.refiners.base import Refiner
from recurlight.spec import Recorded
from recurlight.types import StateT

__all__ = ["GradientTruncation"]


class GradientTruncation(Recorded, ABC):
    """Which updates of a segment carry gradient.

    A policy receives the loop: it applies `cycles` cycles of the refiner and may only *disable* gradient,
    never enable it, so that evaluation under `no_grad` records nothing. Policies have no parameters.
    """

    @abstractmethod
    def check(self, refiner: Refiner[Any], cycles: int) -> None:
        """Refuse compositions that cannot train.

        Raises:
            IncompatibleComponents: With what is wrong and the setting to change.
        """

    @abstractmethod
    def run(self, refiner: Refiner[StateT], state: StateT, injection: Tensor, cycles: int) -> StateT:
        """Apply the segment's updates.

        Args:
            refiner: Supplies the updates.
            state: State on entry, without gradient.
            injection: Encoded question, `(B, N, D)`, with gradient in training.
            cycles: Number of cycles, at least 1.

        Returns:
            State after the segment.
        """

    def figures(self) -> tuple[str, ...]:
        """Return the names of what `diagnostics` may return."""
        return ()

    def warn(self) -> None:  # most policies have nothing to warn of
        """Warn where the gradients of late were wrong; called at the end of every epoch."""

    def diagnostics(self) -> dict[str, Tensor]:
        """Return 0-d tensors worth logging about the last `run`, by name; empty for most policies."""
        return {}

"""Run to the cap."""

from __future__ import annotations

from torch import Tensor

from recurlight.halting.base import Halting
from recurlight.spec.given import checked
from recurlight.types import Outcome, Segment

__all__ = ["FixedHalting"]


class FixedHalting(Halting):
    """Never stop before the cap of `max_segments`; nothing is learnt.

    For Universal Transformers, equilibrium models and other models trained on one segment.

    Example:
        >>> import torch
        >>> halting = FixedHalting()
        >>> answer = torch.zeros(2, 4, 8)
        >>> score = halting.score(Segment(answer, answer, torch.zeros(2, 4, 6)))
        >>> halting.should_halt(score, torch.tensor([1, 5]))
        tensor([False, False])
    """

    @checked
    def score(self, segment: Segment) -> Tensor:
        """Return no scores, `(B, 0)`."""
        return segment.logits.new_zeros(segment.logits.shape[0], 0)

    @checked
    def should_halt(self, score: Tensor, age: Tensor) -> Tensor:
        """Return False for every slot."""
        return age < 0

    @checked
    def loss(self, score: Tensor, outcome: Outcome) -> Tensor:
        """Return zeros, `(B,)`."""
        return score.new_zeros(score.shape[0])

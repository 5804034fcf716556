"""The halting contract: when to stop working on a sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.spec import Recorded
from recurlight.types import Outcome, Segment

__all__ = ["Halting", "judges"]


class Halting(Recorded, nn.Module, ABC):
    """When to stop working on a sample.

    The cap on segments and the exploration rule belong to the driver, so a policy cannot forget them.
    Parameters of a policy (a halting head) live in the policy and must be touched by every `score`.
    """

    needs_lookahead: ClassVar[bool] = False
    """The loss needs the scores after one more segment, which the driver then computes without gradient."""

    @abstractmethod
    def score(self, segment: Segment) -> Tensor:
        """Score a segment; returns `(B, K)` float32 (float64 for a float64 model)."""

    @abstractmethod
    def should_halt(self, score: Tensor, age: Tensor) -> Tensor:
        """Decide which slots stop.

        Args:
            score: `(B, K)`.
            age: Segments spent, `(B,)` int32, at least 1.

        Returns:
            `(B,)` bool, without gradient.
        """

    def confidence(self, score: Tensor) -> Tensor:
        """Return the probability that the answer is right, `(B,)`; 0 for policies that do not judge it."""
        return score.new_zeros(score.shape[0])

    def stopping(self, score: Tensor) -> Tensor:
        """Return the logit of stopping now, `(B,)`, with gradient, by which some supervisions weigh segments.

        It is above 0 where, and only where, `should_halt` says so.

        Raises:
            IncompatibleComponents: The policy has none, which is so unless it overrides this.
        """
        raise IncompatibleComponents(
            f"{type(self).__name__} has no probability of stopping to weigh segments by: set model.halting "
            "to CorrectnessHalting, or model.supervision to OneSegment or DeepSupervision"
        )

    @abstractmethod
    def loss(self, score: Tensor, outcome: Outcome) -> Tensor:
        """Return the halting loss of each slot, `(B,)` in the score's dtype; zeros if nothing is learnt."""


def judges(halting: Halting) -> bool:
    """Tell whether a policy says how likely its answer is right."""
    return type(halting).confidence is not Halting.confidence

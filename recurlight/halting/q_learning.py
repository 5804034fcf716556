"""Stop when halting is worth more than going on."""

from __future__ import annotations

import sys
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from recurlight.halting.base import Halting
from recurlight.halting.head import HaltingHead
from recurlight.spec.given import checked, within
from recurlight.types import Outcome, Segment

__all__ = ["QLearningHalting", "continue_target"]


def continue_target(next_score: Tensor, last: Tensor) -> Tensor:
    """Return the value of going on: `sigmoid(max(halt', continue'))`, or `sigmoid(halt')` at the cap.

    Args:
        next_score: Logits of halting and of going on after one more segment, `(B, 2)`.
        last: Whether the slot has reached the cap, `(B,)` bool.

    Returns:
        `(B,)` in the dtype of `next_score`.

    Example:
        >>> continue_target(torch.tensor([[0.0, 9.0], [0.0, 9.0]]), torch.tensor([False, True]))
        tensor([0.9999, 0.5000])
    """
    return torch.where(last, next_score[:, 0], next_score.amax(dim=1)).sigmoid()


class QLearningHalting(Halting):
    """Learn the value of halting and of going on, and stop when halting is worth more.

    `loss = BCE(halt, answer right) + BCE(continue, sigmoid(max(halt', continue')))`, where `'` marks the
    scores after one more segment, and `halt'` alone counts at the cap

    HRM's rule. The look-ahead costs one more forward pass per training step; `CorrectnessHalting` does
    without and is as accurate on the published tasks.

    Args:
        margin: How far the score of halting must be above that of going on for a slot to halt in training; 0
            as published. Higher ones give a sample more segments.

    Raises:
        IncompatibleComponents: The margin is not finite.

    Example:
        >>> from recurlight.types import Sizes
        >>> halting = QLearningHalting()
        >>> halting.head.bind(Sizes(vocab=6, tokens=4, width=8), torch.Generator())
        >>> halting.should_halt(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 1]))
        tensor([ True, False])

    Reference:
        HRM (arXiv:2506.21734), section 2, "Adaptive computational time".
    """

    needs_lookahead: ClassVar[bool] = True

    def __init__(self, margin: float = 0.0) -> None:
        super().__init__()
        within("QLearningHalting", "margin", margin, -sys.float_info.max)
        self.margin = margin
        self.head = HaltingHead(scores=2)

    @checked
    def score(self, segment: Segment) -> Tensor:
        """Return the logits of halting and of going on, `(B, 2)`."""
        scores: Tensor = self.head(segment.answer)
        return scores

    @checked
    def should_halt(self, score: Tensor, age: Tensor) -> Tensor:
        """Stop where halting scores above going on by the margin."""
        return score[:, 0] > score[:, 1] + self.margin

    def confidence(self, score: Tensor) -> Tensor:
        """Return the first score's sigmoid."""
        return score[:, 0].sigmoid()

    @checked
    def loss(self, score: Tensor, outcome: Outcome) -> Tensor:
        """Return both cross-entropies added, `(B,)`."""
        assert outcome.next_score is not None, "the driver computes next_score for needs_lookahead policies"
        targets = torch.stack(
            [outcome.correct.to(score.dtype), continue_target(outcome.next_score, outcome.last)], dim=1
        )
        return functional.binary_cross_entropy_with_logits(score, targets, reduction="none").sum(dim=1)

"""Stop when the answer is judged right."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from recurlight.halting.base import Halting
from recurlight.halting.head import HaltingHead
from recurlight.spec.given import checked
from recurlight.types import Outcome, Segment

__all__ = ["CorrectnessHalting"]


class CorrectnessHalting(Halting):
    """Learn whether the whole answer is right, and stop when it probably is.

    `score = w answer[0] + b`, stop when `score > 0`, `loss = BCE(score, answer right)`

    TRM's rule: one forward pass per step, where `QLearningHalting` needs two.

    Example:
        >>> import torch
        >>> from recurlight.types import Sizes
        >>> halting = CorrectnessHalting()
        >>> halting.head.bind(Sizes(vocab=6, tokens=4, width=8), torch.Generator())
        >>> answer = torch.zeros(2, 4, 8)
        >>> halting.score(Segment(answer, answer, torch.zeros(2, 4, 6))).tolist()
        [[-5.0], [-5.0]]

    Reference:
        TRM (arXiv:2510.04871), section 4.6.
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = HaltingHead(scores=1)

    @checked
    def score(self, segment: Segment) -> Tensor:
        """Return the logit that the answer is right, `(B, 1)`."""
        scores: Tensor = self.head(segment.answer)
        return scores

    @checked
    def should_halt(self, score: Tensor, age: Tensor) -> Tensor:
        """Stop where right is likelier than wrong."""
        return score[:, 0] > 0

    def confidence(self, score: Tensor) -> Tensor:
        """Return the first score's sigmoid."""
        return score[:, 0].sigmoid()

    def stopping(self, score: Tensor) -> Tensor:
        """Return the score itself: stopping is as likely as being right."""
        return score[:, 0]

    @checked
    def loss(self, score: Tensor, outcome: Outcome) -> Tensor:
        """Return the binary cross-entropy against `outcome.correct`, `(B,)`."""
        target = outcome.correct.to(score.dtype)
        return functional.binary_cross_entropy_with_logits(score[:, 0], target, reduction="none")

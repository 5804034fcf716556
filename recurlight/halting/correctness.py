"""Stop when the answer is judged right."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from recurlight.errors import IncompatibleComponents
from recurlight.halting.base import Halting
from recurlight.halting.head import HaltingHead
from recurlight.spec.given import checked, within
from recurlight.types import Outcome, Segment

__all__ = ["CorrectnessHalting"]


class CorrectnessHalting(Halting):
    """Learn whether the whole answer is right, and stop when it probably is.

    `score = w answer[0] + b`, stop when `sigmoid(score) > threshold`, `loss = BCE(score, answer right)`

    TRM's rule: one forward pass per step, where `QLearningHalting` needs two. When to stop in evaluation is
    another matter, see `Stopping`.

    Args:
        threshold: Probability of being right above which slots halt in training, between 0 and 1; 0.5 as
            published. Higher ones give a sample more segments.

    Raises:
        IncompatibleComponents: The threshold is out of range.

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

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        within("CorrectnessHalting", "threshold", threshold, above=0)
        if threshold >= 1:
            raise IncompatibleComponents(
                f"CorrectnessHalting got threshold={threshold}: give less than 1, such as 0.5"
            )
        self.bar = math.log(threshold / (1 - threshold))  # 0 at one half
        self.head = HaltingHead(scores=1)

    @checked
    def score(self, segment: Segment) -> Tensor:
        """Return the logit that the answer is right, `(B, 1)`."""
        scores: Tensor = self.head(segment.answer)
        return scores

    @checked
    def should_halt(self, score: Tensor, age: Tensor) -> Tensor:
        """Stop where the answer is likely enough to be right."""
        return score[:, 0] > self.bar

    def confidence(self, score: Tensor) -> Tensor:
        """Return the first score's sigmoid."""
        return score[:, 0].sigmoid()

    def stopping(self, score: Tensor) -> Tensor:
        """Return the score above the threshold's: at one half stopping is as likely as being right."""
        return score[:, 0] - self.bar

    @checked
    def loss(self, score: Tensor, outcome: Outcome) -> Tensor:
        """Return the binary cross-entropy against `outcome.correct`, `(B,)`."""
        target = outcome.correct.to(score.dtype)
        return functional.binary_cross_entropy_with_logits(score[:, 0], target, reduction="none")

"""Several segments a step, each with its weight in the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from recurlight import slots
from recurlight.errors import IncompatibleComponents
from recurlight.losses import SequenceLoss
from recurlight.recursion.driver import Recursion
from recurlight.spec.given import within
from recurlight.supervision.base import Supervision, Turn, require_through
from recurlight.types import Batch, Carry, Learnt

__all__ = ["DeepSupervision"]


@dataclass(frozen=True)
class DeepSupervision(Supervision):
    """Run several segments in one optimizer step and add their losses up, each with its weight.

    `loss = sum_s weights[s] * mean over slots of [still working] (loss + halting_weight * halting loss)`

    A slot that halts amid the step waits, without loss, for the sample of the next step. With weights of 1
    and no gradient through segments, the gradient is the sum of those of `segments` steps of `OneSegment`
    that leave the model alone: plain SGD then steps that many times as far, while AdamATan2, which does not
    see the scale of a gradient, does not. Weights that add up to 1 keep the scale of one segment.

    Memory grows with `segments`, whether gradient goes through them or not, for one backward pass ends the
    step. Take `OneSegment` where the weights may change between segments.

    Args:
        segments: Segments in a step, from 1 to the model's `max_segments`.
        weights: Weight of each segment's loss, 0 or more, as `[0.25, 0.5, 1.0]`; None for 1 each.
        through: Let gradient pass from a segment into those before it in the same step, as far as the
            truncation allows; otherwise each segment is differentiated alone.

    Raises:
        IncompatibleComponents: A number is out of range.

    Example:
        >>> DeepSupervision(segments=3, weights=[0.25, 0.5, 1.0])
        DeepSupervision(segments=3, weights=(0.25, 0.5, 1.0), through=False)

    Reference:
        Lee et al., Deeply-supervised nets, arXiv:1409.5185.
    """

    segments: int
    weights: Sequence[float] | None = None
    through: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        super().__post_init__()
        within("DeepSupervision", "segments", self.segments, 1)
        if self.weights is None:
            return
        object.__setattr__(self, "weights", tuple(self.weights))
        if len(self.weights) != self.segments or min(self.weights) < 0 or max(self.weights) == 0:
            raise IncompatibleComponents(
                f"DeepSupervision got weights={list(self.weights)} for {self.segments} segments: give one "
                "for each, 0 or more and not all 0"
            )

    def check(self, recursion: Recursion, loss: SequenceLoss) -> None:
        """Refuse segments that no sample gets, and gradient that cannot pass."""
        if self.segments > recursion.max_segments:
            raise IncompatibleComponents(
                f"DeepSupervision runs {self.segments} segments in a step, and no sample gets more than "
                f"model.max_segments, which is {recursion.max_segments}: raise it, or lower "
                "model.supervision.init_args.segments"
            )
        if self.through:
            require_through(self, recursion)

    def step(
        self, recursion: Recursion, carry: Carry, fresh: Batch, loss: SequenceLoss, turn: Turn
    ) -> Learnt:
        """Run the segments; what a slot computes once it has halted is thrown away, so that no step waits."""
        working, correct = torch.ones_like(carry.halted), torch.zeros_like(carry.halted)
        total = torch.zeros((), device=correct.device)
        with turn.drawing():
            for number, weight in enumerate(self.weights or (1.0,) * self.segments):
                after, segment, score = recursion.segment(carry, fresh, through=self.through)
                judged = recursion.judge(after, segment, score, loss)
                draw = turn.step * self.segments + number
                after = recursion.halt(after, score.detach(), draw, turn.rank, turn.ranks)
                total = total + weight * judged.total(turn.halting_weight).where(working, 0.0).mean()
                if number:
                    after = slots.choose(working, after, carry)
                carry, correct = after, judged.correct.where(working, correct)
                working = ~carry.halted
        return Learnt(slots.detach(carry), total, segment, correct)

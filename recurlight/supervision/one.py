"""One segment a step."""

from __future__ import annotations

from dataclasses import dataclass

from recurlight.losses import SequenceLoss
from recurlight.recursion.driver import Recursion
from recurlight.supervision.base import Supervision, Turn
from recurlight.types import Batch, Carry, Learnt

__all__ = ["OneSegment"]


@dataclass(frozen=True)
class OneSegment(Supervision):
    """Run one segment on every slot, and step: the rule of published HRM and TRM.

    `loss = mean over slots of (loss per supervised token + halting_weight * halting loss)`

    The default. A sample that needs many segments is learnt from in as many steps, with weights that change
    in between; memory is that of one segment. `DeepSupervision` takes several segments with the same weights.

    Example:
        >>> OneSegment()
        OneSegment()

    Reference:
        TRM (arXiv:2510.04871), section 4; HRM (arXiv:2506.21734), section 2, "Deep supervision".
    """

    def step(
        self, recursion: Recursion, carry: Carry, fresh: Batch, loss: SequenceLoss, turn: Turn
    ) -> Learnt:
        """Run the segment; see `Recursion.learn`."""
        return recursion.learn(carry, fresh, loss, **turn._asdict())

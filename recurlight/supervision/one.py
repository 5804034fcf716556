"""One segment a step."""

from __future__ import annotations

from dataclasses import dataclass

from recurlight.losses import SequenceLoss
from recurlight.recursion.driver import Recursion
from recurlight.spec.given import within
from recurlight.supervision.base import Supervision, Turn
from recurlight.types import Batch, Carry, Learnt

__all__ = ["OneSegment"]


@dataclass(frozen=True)
class OneSegment(Supervision):
    """Run one segment on every slot, and step: the rule of published HRM and TRM.

    `loss = mean over slots of decay^(n - 1) (loss per supervised token + halting_weight * halting loss)`,
    where a slot is in its segment `n`

    The default. A sample that needs many segments is learnt from in as many steps, with weights that change
    in between; memory is that of one segment. `DeepSupervision` takes several segments with the same weights.

    Args:
        decay: In (0, 1]; less than 1 lets early segments count more, 0.7 in CGAR.

    Raises:
        IncompatibleComponents: The decay is out of range.

    Example:
        >>> OneSegment()
        OneSegment(decay=1.0)

    Reference:
        TRM (arXiv:2510.04871), section 4; HRM (arXiv:2506.21734), section 2, "Deep supervision"; CGAR
        (arXiv:2511.08653), "Hierarchical supervision weighting".
    """

    decay: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a decay out of range."""
        super().__post_init__()
        within("OneSegment", "decay", self.decay, most=1, above=0)

    def step(
        self, recursion: Recursion, carry: Carry, fresh: Batch, loss: SequenceLoss, turn: Turn
    ) -> Learnt:
        """Run the segment; see `Recursion.learn`."""
        return recursion.learn(carry, fresh, loss, **turn._asdict(), decay=self.decay)

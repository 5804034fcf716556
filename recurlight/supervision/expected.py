"""The loss that is expected when stopping is drawn, with a bonus for not deciding early."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from recurlight.spec.given import within
from recurlight.supervision.distribution import HaltingDistribution

__all__ = ["ExpectedLoss"]


@dataclass(frozen=True)
class ExpectedLoss(HaltingDistribution):
    """Learn where to stop from the losses themselves: the expected loss over the segments of a sample.

    `loss = mean over slots of [sum_n p[n] loss[n] - entropy * H(p) + halting_weight * mean_n halting[n]]`,
    `p[n] = l[n] prod_{j < n} (1 - l[j])`, `l` the sigmoid of the halting policy's `stopping`, 1 at the end

    Each step spends all `max_segments` segments on a fresh sample for each slot; exploration plays no part.
    Memory grows with `max_segments`, whether gradient goes through the segments or not. Set
    `model.eval_halting` to `AsTrained` to evaluate adaptively as trained: a sample then stops at the first
    segment where `l > 1/2`, where stopping is likelier than going on, and otherwise runs to the end, which
    training weighs with what is left. The usual rule asks `l` for 9/10 and the answer to be settled.

    `CorrectnessHalting` also learns whether the answer is right, by the halting loss, so that `l` is drawn to
    that. The papers learn it from the losses alone: set `halting_weight` to 0, and read the policy's
    confidence as a probability of stopping, no longer of being right.

    Args:
        entropy: Weight of the distribution's entropy, in nats, 0 or more; without it the loss tends to settle
            on one segment.
        through: Let gradient pass from a segment into those before it, as far as the truncation allows.

    Raises:
        IncompatibleComponents: A number is out of range.

    Example:
        >>> import torch
        >>> ExpectedLoss(entropy=0.1).penalty(torch.tensor([[0.5, 0.25, 0.25]]).log())
        tensor([-0.1040])

    Reference:
        Ouro (arXiv:2510.25741), section 3, its first stage; ACT (arXiv:1603.08983) averages answers instead.
    """

    entropy: float = 0.0
    through: bool = True

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        super().__post_init__()
        within("ExpectedLoss", "entropy", self.entropy, 0)

    def penalty(self, log_p: Tensor) -> Tensor:
        """Return minus the weighted entropy, `(B,)`."""
        return self.entropy * (log_p.exp() * log_p).sum(1)

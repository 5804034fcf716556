"""The expected loss with a prior on where to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from recurlight.spec.given import within
from recurlight.supervision.distribution import HaltingDistribution, log_halting

__all__ = ["PonderLoss"]


@dataclass(frozen=True)
class PonderLoss(HaltingDistribution):
    """Learn where to stop from the losses, near a geometric prior: PonderNet's rule.

    `loss = mean over slots of [sum_n p[n] loss[n] + weight * KL(p || q) + halting_weight * mean_n
    halting[n]]`, `p` as for `ExpectedLoss`, `q[n] = prior (1 - prior)^(n - 1)`, the last taking what is left

    The prior says how many segments a sample should get, about `1 / prior`, and keeps all of them in
    training; `ExpectedLoss` has no such wish. What is said there of memory, `halting_weight` and evaluation
    holds here; as `l` is drawn to the prior, a sample stops by `AsTrained` only where the losses have drawn
    it above 1/2, and by the usual rule hardly ever.

    Args:
        prior: Probability of stopping at a segment if it is reached, between 0 and 1.
        weight: Weight of the divergence, in nats, 0 or more.
        through: Let gradient pass from a segment into those before it, as far as the truncation allows.

    Raises:
        IncompatibleComponents: A number is out of range.

    Example:
        >>> import torch
        >>> PonderLoss(prior=0.5).penalty(torch.tensor([[0.5, 0.25, 0.25]]).log())
        tensor([0.])

    Reference:
        PonderNet (arXiv:2107.05407), section 2.
    """

    prior: float = 0.2
    weight: float = 0.01
    through: bool = True

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        super().__post_init__()
        within("PonderLoss", "prior", self.prior, above=0, most=0.999)
        within("PonderLoss", "weight", self.weight, 0)

    def penalty(self, log_p: Tensor) -> Tensor:
        """Return the weighted divergence from the prior, `(B,)`."""
        log_q = log_halting(log_p.new_full((1, log_p.shape[1]), math.log(self.prior / (1 - self.prior))))
        return self.weight * (log_p.exp() * (log_p - log_q)).sum(1)

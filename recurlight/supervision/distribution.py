"""Every segment's loss, weighted by the probability of stopping there."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from recurlight import slots
from recurlight.errors import IncompatibleComponents
from recurlight.losses import SequenceLoss
from recurlight.numerics import floats
from recurlight.recursion.driver import Recursion
from recurlight.supervision.base import Supervision, Turn, require_through
from recurlight.types import Batch, Carry, Learnt, Segment

__all__ = ["HaltingDistribution", "log_halting"]


def log_halting(stopping: Tensor) -> Tensor:
    """Return the logarithm of the probability to stop at each segment, the last one taking what is left.

    `p[n] = l[n] * prod_{j < n} (1 - l[j])` with `l = sigmoid(stopping)`, and `l = 1` at the last segment

    Args:
        stopping: Logit of stopping at each segment if it is reached, `(B, S)`.

    Returns:
        `(B, S)`; the probabilities of a row add up to 1.

    Example:
        >>> log_halting(torch.zeros(1, 3)).exp()
        tensor([[0.5000, 0.2500, 0.2500]])
    """
    early = stopping[:, :-1]
    stays = functional.pad(functional.logsigmoid(-early).cumsum(1), (1, 0))  # (B, S): reached at all
    return stays + functional.pad(functional.logsigmoid(early), (0, 1))


class HaltingDistribution(Supervision):
    """Spend all segments of a sample in one step, and weigh each one's loss by the probability to stop there.

    `loss = mean over slots of [sum_n p[n] loss[n] + halting_weight * mean_n halting loss[n] + penalty(p)]`,
    with `p` of `log_halting`, from the halting policy's `stopping`
    """

    through: bool

    @abstractmethod
    def penalty(self, log_p: Tensor) -> Tensor:
        """Return what each slot's distribution costs, `(B,)`, from its logarithm `(B, S)`."""

    def check(self, recursion: Recursion, loss: SequenceLoss) -> None:
        """Refuse policies without a probability, a single segment, and gradient that cannot pass."""
        if recursion.max_segments < 2:
            raise IncompatibleComponents(
                f"{type(self).__name__} has nothing to weigh where a sample gets one segment: set "
                "model.max_segments to 2 or more"
            )
        _require_stopping(recursion)
        if self.through:
            require_through(self, recursion)

    def step(
        self, recursion: Recursion, carry: Carry, fresh: Batch, loss: SequenceLoss, turn: Turn
    ) -> Learnt:
        """Run every segment of a fresh sample on each slot; all of them finish."""
        halted = torch.ones_like(carry.halted)
        carry = carry._replace(halted=halted)  # one of another supervision may be amid its work
        judged, stopping = [], []
        with turn.drawing():
            for _ in range(recursion.max_segments):
                carry, segment, score = recursion.segment(carry, fresh, through=self.through)
                judged.append(recursion.judge(carry, segment, score, loss))
                stopping.append(recursion.halting.stopping(score))
        log_p = log_halting(torch.stack(stopping, dim=1))  # (B, S)
        losses, halting = (torch.stack(part, dim=1) for part in zip(*(j[:2] for j in judged), strict=True))
        total = (log_p.exp() * losses).sum(1) + turn.halting_weight * halting.mean(1) + self.penalty(log_p)
        carry = slots.detach(carry)._replace(halted=halted)
        return Learnt(carry, total.mean(), segment, judged[-1].correct)


def _require_stopping(recursion: Recursion) -> None:
    """Try the policy on two answers.

    Raises:
        IncompatibleComponents: It has no logit of stopping, or none with gradient.
    """
    sizes, name = recursion.sizes, type(recursion.halting).__name__
    weight = next(floats(recursion), torch.zeros(()))
    with torch.enable_grad():
        answer = weight.new_zeros(2, sizes.positions, sizes.width).requires_grad_()
        logits = weight.new_zeros(2, sizes.tokens, recursion.decoder.outputs(sizes)).requires_grad_()
        found = recursion.halting.stopping(recursion.halting.score(Segment(answer.detach(), answer, logits)))
    if found.shape != (2,) or not found.requires_grad:
        raise IncompatibleComponents(
            f"{name}.stopping returns {tuple(found.shape)} {'with' if found.requires_grad else 'without'} "
            "gradient: return the logit of each slot, (B,), computed from the score without detach()"
        )

"""A penalty on the Jacobian of a cycle, so that the cycle goes on to contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from recurlight import draw
from recurlight.codec.feedback import AnswerFeedback
from recurlight.losses import SequenceLoss
from recurlight.recursion.driver import Recursion
from recurlight.recursion.padding import padding_told
from recurlight.spec.given import within
from recurlight.supervision.base import Supervision, Turn
from recurlight.supervision.one import OneSegment
from recurlight.types import Batch, Carry, Learnt

__all__ = ["JacobianPenalty", "jacobian_square"]


def jacobian_square(recursion: Recursion, carry: Carry) -> Tensor:
    """Estimate the mean square of the singular values of one cycle at the state of each row.

    `||J^T e||^2 / F` with `J = d cycle(z) / d z`, `(F, F)`, and standard normal `e` from `draw`; its mean
    over `e` is `||J||_F^2 / F`.

    Args:
        recursion: The composition.
        carry: States, and the samples that they belong to.

    Returns:
        `(B,)`, with gradient for the weights and the memory of one cycle; none passes to the state.
    """
    injection = recursion.encoder(carry.batch.inputs, carry.batch.task)
    if recursion.feedback is not None:
        injection = injection + recursion.feedback(carry.guess)
    ends, starts = _one_cycle(recursion, carry, injection)
    pulls = [draw.normal(end) for end in ends]
    found = torch.autograd.grad(ends, starts, pulls, create_graph=True, materialize_grads=True)
    wide = [pull.to(torch.promote_types(pull.dtype, torch.float32)) for pull in found]
    square = torch.stack([pull.square().flatten(1).sum(1) for pull in wide]).sum(0)  # (B,)
    return square / sum(start[0].numel() for start in starts)


def _one_cycle(recursion: Recursion, carry: Carry, injection: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Apply a cycle; return its floating-point levels after and before."""
    state: Any = carry.state
    floating = {name: leaf for name, leaf in state._asdict().items() if leaf.is_floating_point()}
    starts = {name: leaf.detach().requires_grad_() for name, leaf in floating.items()}
    # Fused attention and compiled cells have no second derivative.
    with (
        padding_told(recursion, recursion.encoder, carry.batch.inputs),
        sdpa_kernel(SDPBackend.MATH),
        torch.compiler.set_stance("force_eager"),
    ):
        end = recursion.refiner.cycle(state._replace(**starts), injection)
    return [getattr(end, name) for name in starts], list(starts.values())


@dataclass(frozen=True)
class JacobianPenalty(Supervision):
    """Add to the loss of a supervision how strongly one cycle answers to a change of its state.

    `loss + weight * mean over slots of ||J^T e||^2 / F`, with the Jacobian `J`, `(F, F)`, of one cycle at the
    state that the step leaves, and standard normal `e`: an unbiased estimate of `weight * ||J||_F^2 / F`

    A cycle whose Jacobian is small contracts, so that solvers find its fixed point in few evaluations, and
    the backward solve converges. Take it where the residuals of `ImplicitGradient` grow in training; too
    heavy a penalty keeps the model from using its recursion. It costs the memory of one cycle, and the time
    of about four.

    The loss that training logs has the penalty in it; that of evaluation has not.

    Args:
        weight: Weight of the penalty, 0 or more.
        supervision: What it is added to; null for `OneSegment`.

    Raises:
        IncompatibleComponents: The weight is out of range.

    Example:
        >>> JacobianPenalty(weight=0.5)
        JacobianPenalty(weight=0.5, supervision=OneSegment(decay=1.0))

    Reference:
        Bai et al. 2021, "Stabilizing equilibrium models by Jacobian regularization" (arXiv:2106.14342).
    """

    weight: float = 0.1
    supervision: Supervision | None = None

    def __post_init__(self) -> None:
        """Refuse a weight out of range."""
        super().__post_init__()
        within("JacobianPenalty", "weight", self.weight, 0)
        object.__setattr__(self, "supervision", self.supervision or OneSegment())

    @property
    def inner(self) -> Supervision:
        """What the penalty is added to."""
        assert self.supervision is not None  # see __post_init__
        return self.supervision

    def check(self, recursion: Recursion, loss: SequenceLoss) -> None:
        """Refuse what the supervision refuses."""
        self.inner.check(recursion, loss)

    def feedback(self) -> AnswerFeedback | None:
        """Return what tells segments a guess."""
        return self.inner.feedback()

    def rows_per_slot(self) -> int:
        """Return how many rows a slot has."""
        return self.inner.rows_per_slot()

    def start(self, recursion: Recursion, batch: Batch) -> Carry:
        """Make a carry as the supervision does."""
        return self.inner.start(recursion, batch)

    def step(
        self, recursion: Recursion, carry: Carry, fresh: Batch, loss: SequenceLoss, turn: Turn
    ) -> Learnt:
        """Take the step of the supervision, and add the penalty at the state that it leaves."""
        learnt = self.inner.step(recursion, carry, fresh, loss, turn)
        if not torch.is_grad_enabled():
            return learnt
        with turn.drawing():
            penalty = jacobian_square(recursion, learnt.carry).mean()
        return learnt._replace(loss=learnt.loss + self.weight * penalty)

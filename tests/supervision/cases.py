"""Every supervision in a composition that it trains, and steps of it."""

from __future__ import annotations

import inspect

import torch
from helpers import SIZES, batch, mixer, opinionated
from torch import Tensor

from recurlight import draw, supervision
from recurlight.halting import CorrectnessHalting, Halting
from recurlight.losses import SoftmaxCrossEntropy
from recurlight.recursion import Recursion
from recurlight.refiners import TwoLevelRefiner
from recurlight.supervision import (
    DeepSupervision,
    Denoising,
    ExpectedLoss,
    JacobianPenalty,
    OneSegment,
    PonderLoss,
    Supervision,
    Turn,
    WinnerTakesAll,
)
from recurlight.truncation import EveryUpdate, GradientTruncation, LastCycles
from recurlight.types import Batch, Carry, Learnt

CAP = 4
LOSS = SoftmaxCrossEntropy()

CASES: dict[str, tuple[Supervision, GradientTruncation]] = {
    "one": (OneSegment(), LastCycles(1)),
    "decayed": (OneSegment(decay=0.7), LastCycles(1)),
    "deep": (DeepSupervision(3, weights=[0.5, 1.0, 2.0]), LastCycles(1)),
    "winner": (WinnerTakesAll(2), LastCycles(1)),
    "denoising": (Denoising(), LastCycles(1)),
    "deep through": (DeepSupervision(2, through=True), EveryUpdate()),
    "expected": (ExpectedLoss(entropy=0.1), EveryUpdate()),
    "expected apart": (ExpectedLoss(through=False), LastCycles(1)),
    "jacobian": (JacobianPenalty(0.5), LastCycles(1)),
    "jacobian of others": (JacobianPenalty(0.5, DeepSupervision(2)), LastCycles(1)),
    "ponder": (PonderLoss(prior=0.4, weight=0.2), EveryUpdate()),
}
"""By name; every exported class is here."""


def exported() -> set[type[Supervision]]:
    kinds = (getattr(supervision, name) for name in supervision.__all__)
    parts = {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Supervision)}
    return {kind for kind in parts if not inspect.isabstract(kind)}


def composed(
    truncation: GradientTruncation | None = None, halting: Halting | None = None, **settings
) -> Recursion:
    """A float64 composition whose halting head already has opinions."""
    settings = {"sizes": SIZES, "cycles": 2, "max_segments": CAP, "exploration": 0.0} | settings
    parts = TwoLevelRefiner(mixer(), latent_steps=1), truncation or LastCycles(1)
    made = Recursion(settings.pop("sizes"), *parts, halting or CorrectnessHalting(), **settings).double()
    return opinionated(made, spread=0.5) if list(made.halting.parameters()) else made


def step(
    rule: Supervision, recursion: Recursion, carry: Carry, fresh: Batch, turn: Turn | None = None
) -> tuple[Learnt, list[Tensor]]:
    """Take one step; return what it leaves, and the gradient of each weight."""
    recursion.zero_grad()
    turn = turn or Turn(step=0)
    torch.manual_seed(turn.step)
    with draw.as_rank(turn.rank, turn.ranks):
        learnt = rule.step(recursion, carry, fresh, LOSS, turn)
    learnt.loss.backward()
    return learnt, [weight.grad.clone() for weight in recursion.parameters()]


def busy(rule: Supervision, recursion: Recursion, rows: int = 8, steps: int = 3) -> Carry:
    """A carry in the middle of its work."""
    carry = rule.start(recursion, batch(rows))
    with torch.no_grad():
        for number in range(steps):
            carry = rule.step(recursion, carry, batch(rows, seed=number), LOSS, Turn(number)).carry
    return carry

"""Gradients of a whole segment, encoder to losses, against finite differences in float64."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, attention, batch, mixer, seeded
from torch import Tensor

from recurlight import slots
from recurlight.halting import CorrectnessHalting, QLearningHalting
from recurlight.losses import SoftmaxCrossEntropy, StablemaxCrossEntropy, exactly_right
from recurlight.recursion.driver import Recursion
from recurlight.refiners import SingleRefiner, TwoLevelRefiner
from recurlight.truncation import EveryUpdate, LastUpdates, PicardSolver
from recurlight.truncation.implicit import ImplicitGradient

STEP = 1e-6


def loss(recursion, carry, questions, rule) -> Tensor:
    """The loss of a training step."""
    carry, segment, score = recursion.segment(carry, questions)
    outcome = recursion.outcome(carry, exactly_right(segment.logits, carry.batch.labels))
    return (rule(segment.logits, carry.batch.labels) + 0.5 * recursion.halting.loss(score, outcome)).mean()


def directions(recursion: Recursion) -> list[Tensor]:
    generator = seeded(8)
    return [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in recursion.parameters()]


def slope(recursion, along, value) -> float:
    """Central difference of `value()` when the weights move along a direction."""
    found = []
    for sign in (1, -2):
        with torch.no_grad():
            [w.add_(d, alpha=sign * STEP) for w, d in zip(recursion.parameters(), along, strict=True)]
            found.append(value().item())
    with torch.no_grad():
        [w.add_(d, alpha=STEP) for w, d in zip(recursion.parameters(), along, strict=True)]
    return (found[0] - found[1]) / (2 * STEP)


def recorded(recursion, along, value) -> float:
    recursion.zero_grad()
    value().backward()
    return sum((w.grad * d).sum().item() for w, d in zip(recursion.parameters(), along, strict=True))


def awake(recursion: Recursion):
    """A model whose halting head is not zero, and a carry in the middle of its work."""
    recursion.halting.head.weight.data.normal_(generator=seeded(3))
    recursion = recursion.double()
    carry, _, _ = recursion.segment(recursion.start(batch(3)), batch(3))
    return recursion, slots.detach(carry)


@pytest.mark.parametrize("rule", [StablemaxCrossEntropy(), SoftmaxCrossEntropy()])
@pytest.mark.parametrize("halting", [CorrectnessHalting, QLearningHalting])
def test_back_propagation_through_every_update(halting, rule):
    """Fails if a formula of a gradient, such as that of stablemax, is wrong, or an update is cut."""
    refiner = TwoLevelRefiner(mixer(), attention(), latent_steps=2)
    recursion, carry = awake(Recursion(SIZES, refiner, EveryUpdate(), halting(), cycles=2))
    value = lambda: loss(recursion, carry, batch(3), rule)  # noqa: E731
    along = directions(recursion)
    if halting is QLearningHalting:  # its target is a constant, which finite differences would move
        ahead = recursion.outcome(carry, torch.ones(3, dtype=torch.bool)).next_score
        recursion.outcome = lambda after, correct: (
            type(recursion).outcome(recursion, after, correct)._replace(next_score=ahead)
        )
    assert recorded(recursion, along, value) == pytest.approx(slope(recursion, along, value), rel=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_window_is_the_gradient_with_the_state_before_it_held_fixed(count):
    """Fails if the window is one update longer or shorter than its mask says."""
    refiner = SingleRefiner(mixer())
    made = Recursion(SIZES, refiner, LastUpdates(count), CorrectnessHalting(), cycles=3)
    recursion, carry = awake(made)
    rule, along = StablemaxCrossEntropy(), directions(made)
    with torch.no_grad():
        state, injection = carry.state, recursion.encoder(carry.batch.inputs, carry.batch.task)
        for _ in range(3 - count):
            state = refiner.cycle(state, injection)

    def rest() -> Tensor:
        return loss(recursion, carry._replace(state=state), carry.batch, rule)

    whole = recorded(recursion, along, lambda: loss(recursion, carry, carry.batch, rule))
    recursion.cycles, recursion.truncation = count, EveryUpdate()
    assert whole == pytest.approx(slope(recursion, along, rest), rel=1e-6)


def test_the_implicit_gradient_is_that_of_the_fixed_point():
    """Fails if the backward solve, or the one recorded cycle, is left out."""
    solver = PicardSolver(tolerance=1e-14)
    truncation = ImplicitGradient(solver, solver, backward_steps=200)
    cell = torch.nn.Sequential(torch.nn.Linear(SIZES.width, SIZES.width), torch.nn.Tanh())
    cell[0].weight.data = 0.4 * torch.nn.init.orthogonal_(torch.empty(16, 16), generator=seeded(2))
    cell[0].bias.data.zero_()
    made = Recursion(SIZES, SingleRefiner(cell), truncation, CorrectnessHalting(), cycles=200)
    recursion, carry = awake(made)
    value = lambda: loss(recursion, carry, batch(3), StablemaxCrossEntropy())  # noqa: E731
    along = directions(recursion)
    assert recorded(recursion, along, value) == pytest.approx(slope(recursion, along, value), rel=1e-6)
    recursion.truncation = LastUpdates(1)
    assert recorded(recursion, along, value) != pytest.approx(slope(recursion, along, value), rel=1e-3)

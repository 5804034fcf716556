from __future__ import annotations

import pytest
import torch

from recurlight.errors import IncompatibleComponents
from recurlight.refiners import TwoLevelRefiner
from recurlight.truncation import LastCycles, PhantomGradient

from .helpers import cell, gradients, question, single, two_level


def same(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-13, atol=1e-13)


def test_equals_the_formula_on_one_level():
    refiner, injection = single(), question().requires_grad_()
    start = refiner.initial_state(injection.detach())
    ours = PhantomGradient(steps=3, damping=0.4).run(refiner, start, injection, 7).answer
    z = start.answer
    with torch.no_grad():
        for _ in range(4):
            z = refiner.cell(z + injection)
    for _ in range(3):
        z = 0.6 * z + 0.4 * refiner.cell(z + injection)
    same(gradients(refiner, ours, injection), gradients(refiner, z, injection))


def test_equals_the_formula_on_two_levels():
    refiner, injection = two_level(latent_steps=1), question().requires_grad_()
    start = refiner.initial_state(injection.detach())
    ours = PhantomGradient(steps=2, damping=0.5).run(refiner, start, injection, 3).answer

    def cycle(answer, latent):
        latent = refiner.latent(latent + (answer + injection))
        return refiner.answer(answer + latent), latent

    with torch.no_grad():
        y, z = cycle(*start)
    for _ in range(2):
        next_y, next_z = cycle(y, z)
        y, z = 0.5 * y + 0.5 * next_y, 0.5 * z + 0.5 * next_z
    same(gradients(refiner, ours, injection), gradients(refiner, y, injection))


def test_without_damping_it_is_a_window():
    refiner, injection = two_level(), question().requires_grad_()
    start = refiner.initial_state(injection.detach())
    results = [
        gradients(refiner, policy.run(refiner, start, injection, 6).answer, injection)
        for policy in (PhantomGradient(steps=2, damping=1.0), LastCycles(2))
    ]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


class Noisy(TwoLevelRefiner):
    stationary = False


class AnswerFirst(TwoLevelRefiner):
    def schedule(self):
        return ("answer", "latent")


@pytest.mark.parametrize(
    ("policy", "cycles", "message"),
    [
        (PhantomGradient(steps=5), 4, "cycles=4: set truncation steps"),
        (PhantomGradient(steps=0), 4, "at least 1"),
        (PhantomGradient(steps=1, damping=0.0), 4, "damping above 0"),
        (PhantomGradient(steps=1, damping=1.1), 4, "damping above 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(policy, cycles, message):
    with pytest.raises(IncompatibleComponents, match=message):
        policy.check(two_level(), cycles)


def test_refiner_without_fixed_point_is_refused():
    with pytest.raises(IncompatibleComponents, match=r"Noisy has stationary=False.*LastCycles"):
        PhantomGradient().check(Noisy(cell(1)), 8)


def test_steps_that_leave_a_cell_untrained_are_refused():
    refiner = AnswerFirst(cell(1), cell(2))
    with pytest.raises(IncompatibleComponents, match="'latent' untrained"):
        PhantomGradient(steps=1).check(refiner, 8)
    PhantomGradient(steps=2).check(refiner, 8)

"""Gradients equal, bit for bit, those of the published loops."""

from __future__ import annotations

import pytest
import torch

from recurlight.truncation import EveryUpdate, LastCycles, LastPerLevel, LastUpdates

from .helpers import gradients, question, single, two_level


def compare(policy, refiner, loop, cycles):
    """Run policy and loop from the same start, and compare values and gradients."""
    injection = question().requires_grad_()
    with torch.no_grad():
        start = refiner.initial_state(injection)
    policy.check(refiner, cycles)
    ours = policy.run(refiner, start, injection, cycles).answer
    theirs = loop(refiner, start, injection)
    assert torch.equal(ours, theirs)
    for mine, other in zip(
        gradients(refiner, ours, injection), gradients(refiner, theirs, injection), strict=True
    ):
        assert torch.equal(mine, other)
        assert mine.abs().sum() > 0


@pytest.mark.parametrize(("cycles", "steps"), [(2, 2), (3, 1), (1, 4)])
def test_one_step_gradient_of_hrm(cycles, steps):
    def loop(refiner, start, injection):
        low, high = start.latent, start.answer
        with torch.no_grad():
            for index in range(cycles * steps - 1):
                low = refiner.latent(low + (high + injection))
                if (index + 1) % steps == 0:
                    high = refiner.answer(high + low)
        low = refiner.latent(low + (high + injection))
        return refiner.answer(high + low)

    compare(LastUpdates(2), two_level(latent_steps=steps), loop, cycles)


@pytest.mark.parametrize(("cycles", "steps"), [(3, 6), (2, 2), (1, 3)])
def test_last_cycle_gradient_of_trm(cycles, steps):
    def recursion(net, x, y, z):
        for _ in range(steps):
            z = net(z + (y + x))
        return net(y + z), z

    def loop(refiner, start, injection):
        y, z = start
        with torch.no_grad():
            for _ in range(cycles - 1):
                y, z = recursion(refiner.latent, injection, y, z)
        return recursion(refiner.latent, injection, y, z)[0]

    compare(LastCycles(1), two_level(shared=True, latent_steps=steps), loop, cycles)


@pytest.mark.parametrize(
    ("low_budget", "high_budget"), [(1, 1), (1, 2), (2, 1), (4, 1), (4, 2), (6, 2), (2, 2)]
)
def test_budgets_of_hrm_text(low_budget, high_budget):
    cycles, steps = 2, 3

    def loop(refiner, start, injection):
        low, high = start.latent, start.answer
        for outer in range(cycles):
            for inner in range(steps):
                with torch.set_grad_enabled(cycles * steps - (outer * steps + inner) <= low_budget):
                    low = refiner.latent(low + (high + injection))
            with torch.set_grad_enabled(cycles - outer <= high_budget):
                high = refiner.answer(high + low)
        return high

    policy = LastPerLevel({"latent": low_budget, "answer": high_budget})
    compare(policy, two_level(latent_steps=steps), loop, cycles)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_truncated_back_propagation_through_time(count):
    def loop(refiner, start, injection):
        answer = start.answer
        for index in range(5):
            answer = refiner.cell(answer + injection)
            answer = answer.detach() if index == 4 - count else answer
        return answer

    compare(LastUpdates(count), single(), loop, cycles=5)


def test_every_update_is_plain_autograd():
    def loop(refiner, start, injection):
        y, z = start
        for _ in range(2):
            z = refiner.latent(z + (y + injection))
            y = refiner.answer(y + z)
        return y

    compare(EveryUpdate(), two_level(latent_steps=1), loop, cycles=2)

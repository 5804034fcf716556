from __future__ import annotations

import warnings

import pytest
import torch

from recurlight.errors import IncompatibleComponents
from recurlight.refiners import TwoLevelRefiner
from recurlight.truncation import (
    ImplicitGradient,
    LastCycles,
    NeumannGradient,
    PhantomGradient,
    PicardSolver,
)

from .helpers import cell, gradients, loss, question, single, two_level

EXACT = PicardSolver(tolerance=1e-14)
BUILDS = {"single": single, "two": two_level, "shared": lambda: two_level(shared=True)}


def backward(policy, refiner, cycles=100):
    injection = question().requires_grad_()
    start = refiner.initial_state(injection.detach())
    return gradients(refiner, policy.run(refiner, start, injection, cycles).answer, injection)


def same(ours, theirs, close=1e-10):
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=close, atol=close)


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS.keys())
@pytest.mark.parametrize(("steps", "damping"), [(0, 1.0), (3, 1.0), (4, 0.5), (0, 0.5)])
def test_equals_the_phantom_gradient_at_the_fixed_point(build, steps, damping):
    """Damped cycles that begin at the fixed point stay there, so that each adds one term."""
    refiner = build()
    ours = backward(NeumannGradient(steps, damping, EXACT), refiner)
    same(ours, backward(PhantomGradient(steps + 1, damping), refiner))


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS.keys())
@pytest.mark.parametrize("damping", [1.0, 0.6])
def test_many_terms_are_the_implicit_gradient(build, damping):
    refiner = build()
    same(
        backward(NeumannGradient(150, damping, EXACT), refiner),
        backward(ImplicitGradient(EXACT, EXACT, backward_steps=150), refiner),
    )


def test_no_term_is_the_jacobian_free_gradient():
    refiner = two_level()
    ours = backward(NeumannGradient(steps=0, solver=EXACT), refiner)
    same(ours, backward(LastCycles(1), refiner))
    more = backward(NeumannGradient(steps=1, solver=EXACT), refiner)
    assert (ours[1] - more[1]).abs().max() > 1e-3


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_term_costs_one_backward_pass_of_a_cycle(steps):
    refiner, injection = single(), question().requires_grad_()
    passes = []
    end = NeumannGradient(steps).run(refiner, refiner.initial_state(injection.detach()), injection, 9)
    node = end.answer.grad_fn
    while "Tanh" not in type(node).__name__:  # the recorded cycle ends in it
        node = node.next_functions[0][0]
    node.register_hook(lambda *_: passes.append(1))
    loss(end.answer).backward()
    assert len(passes) == steps + 1


def test_the_report_is_that_of_the_sum_without_its_last_term():
    refiner = single()
    policy = NeumannGradient(steps=2, solver=EXACT)
    assert policy.diagnostics() == {}
    backward(policy, refiner)
    shorter = ImplicitGradient(EXACT, PicardSolver(), backward_steps=2)  # its second residual
    backward(shorter, refiner)
    torch.testing.assert_close(policy.report.backward.residual, shorter.report.backward.residual)
    assert policy.report.backward.steps.tolist() == [2, 2, 2]
    assert not policy.report.backward.converged.any()
    assert set(policy.diagnostics()) == set(policy.figures())
    long = NeumannGradient(80, 0.5, EXACT)
    backward(long, refiner)
    assert long.report.backward.converged.all()


def test_without_terms_there_is_nothing_to_report_of_them():
    policy = NeumannGradient(steps=0)
    backward(policy, single())
    assert policy.report.backward is None
    assert set(policy.diagnostics()) == set(policy.figures())


def test_a_series_that_does_not_converge_is_reported_loudly():
    """A map that turns back too far has a fixed point, at which its terms grow."""
    refiner = single()
    refiner.cell[0].weight.data = -3 * torch.eye(5, dtype=torch.float64)
    policy = NeumannGradient(steps=6, solver=PicardSolver(damping=0.1))
    injection = (0.01 * question()).requires_grad_()
    end = policy.run(refiner, refiner.initial_state(injection.detach()), injection, 200)
    loss(end.answer).backward()
    with pytest.warns(
        RuntimeWarning, match=r"the series of NeumannGradient does not converge.*lower damping"
    ):
        policy.warn()


def test_a_truncated_series_of_a_contraction_is_no_reason_to_warn():
    policy = NeumannGradient(steps=2)
    backward(policy, two_level(gain=0.9), cycles=60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy.warn()


def test_a_fixed_point_that_is_not_found_is_reported_under_its_own_name():
    policy = NeumannGradient(steps=0, solver=PicardSolver())
    backward(policy, single(gain=8.0), cycles=3)
    with pytest.warns(RuntimeWarning, match="NeumannGradient did not converge.*forward_residual"):
        policy.warn()


class Noisy(TwoLevelRefiner):
    stationary = False


class AnswerFirst(TwoLevelRefiner):
    def schedule(self):
        return ("answer", "latent")


@pytest.mark.parametrize(
    ("policy", "cycles", "message"),
    [
        (NeumannGradient(steps=-1), 4, "steps to 0 or more"),
        (NeumannGradient(damping=0.0), 4, "damping above 0"),
        (NeumannGradient(damping=1.1), 4, "damping above 0"),
        (NeumannGradient(), 1, "set cycles=1 to 2 or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(policy, cycles, message):
    with pytest.raises(IncompatibleComponents, match=message):
        policy.check(two_level(), cycles)


def test_refiner_without_fixed_point_is_refused():
    with pytest.raises(IncompatibleComponents, match=r"Noisy has stationary=False.*LastCycles"):
        NeumannGradient().check(Noisy(cell(1)), 8)


def test_jacobian_free_that_leaves_a_cell_untrained_is_refused():
    refiner = AnswerFirst(cell(1), cell(2))
    with pytest.raises(IncompatibleComponents, match="'latent' untrained"):
        NeumannGradient(steps=0).check(refiner, 8)
    NeumannGradient(steps=1).check(refiner, 8)

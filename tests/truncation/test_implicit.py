from __future__ import annotations

import warnings

import pytest
import torch

from recurlight.errors import IncompatibleComponents
from recurlight.refiners import TwoLevelRefiner
from recurlight.truncation import (
    AndersonSolver,
    BroydenSolver,
    EveryUpdate,
    FixedPointSolver,
    ImplicitGradient,
    LastCycles,
    PicardSolver,
    warn_unconverged,
)

from .helpers import cell, gradients, loss, question, single, two_level

SOLVERS = [kind(tolerance=1e-13) for kind in (PicardSolver, AndersonSolver, BroydenSolver)]
BUILDS = {
    "single": single,
    "two": two_level,
    "shared": lambda: two_level(shared=True),
    "many": lambda: two_level(latent_steps=4),
}


def exact(solver: FixedPointSolver) -> ImplicitGradient:
    return ImplicitGradient(solver, solver, backward_steps=150)


def backward(policy, refiner, cycles=150):
    injection = question().requires_grad_()
    start = refiner.initial_state(injection.detach())
    end = policy.run(refiner, start, injection, cycles)
    return end, gradients(refiner, end.answer, injection)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS.keys())
def test_equals_back_propagation_through_time_at_the_fixed_point(solver, build):
    refiner = build()
    end, ours = backward(exact(solver), refiner)
    unrolled, theirs = backward(EveryUpdate(), refiner, 200)
    torch.testing.assert_close(end, unrolled, rtol=1e-10, atol=1e-10)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def test_differs_from_the_jacobian_free_gradient():
    refiner = two_level()
    _, ours = backward(exact(SOLVERS[0]), refiner)
    _, free = backward(LastCycles(1), refiner)
    assert (ours[1] - free[1]).abs().max() > 1e-3


def test_equals_the_implicit_function_theorem_written_out():
    refiner, injection = single(), question(rows=1).requires_grad_()
    end = exact(SOLVERS[1]).run(refiner, refiner.initial_state(injection.detach()), injection, 150)
    (ours,) = torch.autograd.grad(loss(end.answer), injection)

    z = end.answer.detach()
    jacobian = torch.autograd.functional.jacobian(lambda z: refiner.cell(z + injection.detach()), z)
    jacobian = jacobian.reshape(z.numel(), z.numel())
    leaf = z.clone().requires_grad_()
    g = torch.autograd.grad(loss(leaf), leaf)[0].flatten()
    u = torch.linalg.solve(torch.eye(z.numel(), dtype=z.dtype) - jacobian.T, g)
    # the injection enters beside z, so its Jacobian is the same matrix
    torch.testing.assert_close(ours.flatten(), jacobian.T @ u, rtol=1e-10, atol=1e-10)


def test_gradient_accumulates_in_weights_and_only_there():
    refiner, injection = two_level(), question()
    state = refiner.initial_state(injection)
    policy = exact(SOLVERS[0])
    for _ in range(2):
        loss(policy.run(refiner, state, injection, 60).answer).backward()
    twice = [weight.grad.clone() for weight in refiner.parameters()]
    refiner.zero_grad()
    loss(policy.run(refiner, state, injection, 60).answer).backward()
    for weight, double in zip(refiner.parameters(), twice, strict=True):
        torch.testing.assert_close(2 * weight.grad, double)


def test_state_on_entry_gets_no_gradient():
    refiner, injection = two_level(), question()
    state = type(refiner.initial_state(injection))(*(2 * [injection.clone().requires_grad_()]))
    loss(exact(SOLVERS[0]).run(refiner, state, injection, 20).answer).backward()
    assert all(leaf.grad is None for leaf in state)


def test_converged_start_is_the_fixed_point_again():
    refiner, injection = two_level(), question()
    policy = exact(SOLVERS[1])
    end = policy.run(refiner, refiner.initial_state(injection), injection, 100)
    again = policy.run(refiner, type(end)(*(leaf.detach() for leaf in end)), injection, 2)
    torch.testing.assert_close(again, end, rtol=1e-11, atol=1e-11)


def test_autocast_keeps_the_gradient_close():
    refiner, injection = two_level(torch.float32), question(torch.float32).requires_grad_()
    start = refiner.initial_state(injection.detach())
    policy = ImplicitGradient()
    plain = gradients(refiner, policy.run(refiner, start, injection, 30).answer, injection)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        end = policy.run(refiner, start, injection, 30)
    mixed = gradients(refiner, end.answer.float(), injection)
    assert policy.diagnostics()["backward_residual"].dtype == torch.float32
    for exact_gradient, rough in zip(plain, mixed, strict=True):
        assert rough.dtype == torch.float32
        assert (rough - exact_gradient).norm() < 0.05 * exact_gradient.norm()


def test_diagnostics_are_those_of_the_last_solves():
    refiner = single()
    policy = ImplicitGradient(PicardSolver(), PicardSolver(), backward_steps=3)
    assert policy.diagnostics() == {}
    backward(policy, refiner, cycles=4)
    rough = policy.diagnostics()
    assert set(rough) == set(policy.figures())
    assert all(value.ndim == 0 and value.dtype == torch.float64 for value in rough.values())
    assert all(0 < rough[f"{way}_residual"] < 1 for way in ("forward", "backward"))
    assert (rough["forward_steps"], rough["backward_steps"]) == (3, 3)
    assert rough["forward_converged"] == rough["backward_converged"] == 0
    for solve in (policy.report.forward, policy.report.backward):
        assert solve.residual.shape == solve.steps.shape == solve.converged.shape == (3,)
        assert (solve.steps.dtype, solve.converged.dtype) == (torch.int64, torch.bool)
    backward(policy, refiner, cycles=40)
    assert policy.diagnostics()["forward_converged"] == 1
    assert 3 < policy.diagnostics()["forward_steps"] < 39
    backward(policy, refiner, cycles=8)
    assert policy.diagnostics()["forward_residual"] < rough["forward_residual"]
    assert policy.diagnostics()["backward_residual"] == pytest.approx(rough["backward_residual"], rel=0.5)


def test_reports_are_not_shared_between_policies():
    first, second = ImplicitGradient(), ImplicitGradient()
    backward(first, single(), cycles=4)
    assert second.diagnostics() == {}
    assert first == second


def test_solve_that_does_not_converge_is_reported_loudly():
    refiner = single(gain=8.0)
    policy = ImplicitGradient(PicardSolver(), PicardSolver(), backward_steps=5)
    _, found = backward(policy, refiner, cycles=6)
    assert all(gradient.isfinite().all() for gradient in found)
    with pytest.warns(RuntimeWarning) as caught:
        warn_unconverged(policy.diagnostics())
    messages = [str(warning.message) for warning in caught]
    assert any("forward_residual" in text and "raise cycles" in text for text in messages)
    assert not any("\n" in text for text in messages)


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_backward_residual_that_is_not_finite_is_reported(value):
    with pytest.warns(RuntimeWarning, match="raise backward_steps"):
        warn_unconverged({"backward_residual": torch.tensor(value)})


def test_converged_solve_is_not_reported():
    policy = ImplicitGradient()
    backward(policy, single(), cycles=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_unconverged(policy.diagnostics())
        warn_unconverged({"forward_residual": torch.tensor(0.2)}, above=0.3)
        warn_unconverged({"other": torch.tensor(5.0)})


@pytest.mark.parametrize(
    "solver", [PicardSolver(tolerance=0.3), PicardSolver(tolerance=1e-9, absolute_tolerance=1e3)]
)
def test_a_solve_within_its_own_tolerance_is_not_reported(solver):
    """Fails if the bound of the warning is stricter than the tolerance that the solver was given."""
    policy = ImplicitGradient(solver, solver)
    backward(policy, single(gain=1.0), cycles=6)
    figures = policy.diagnostics()
    assert figures["forward_residual"] > 0.1
    assert figures["forward_converged"] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy.warn()
    with pytest.warns(RuntimeWarning, match="forward_residual is"):
        warn_unconverged(figures | {"forward_converged": torch.tensor(0.9)})


class Noisy(TwoLevelRefiner):
    stationary = False


class Forgetful(TwoLevelRefiner):
    def schedule(self):
        return ("answer",)


def test_compositions_that_cannot_train_are_refused():
    policy = ImplicitGradient()
    with pytest.raises(
        IncompatibleComponents, match=r"Noisy has stationary=False.*set truncation LastCycles"
    ):
        policy.check(Noisy(cell(1)), 20)
    with pytest.raises(IncompatibleComponents, match="Forgetful never updates"):
        policy.check(Forgetful(cell(1), cell(2)), 20)
    with pytest.raises(IncompatibleComponents, match="set cycles=1 to 2 or more"):
        policy.check(two_level(), 1)
    with pytest.raises(
        IncompatibleComponents, match=r"backward_steps to at least 1.*NeumannGradient\(steps=0\)"
    ):
        ImplicitGradient(backward_steps=0).check(two_level(), 20)

"""Gradients of every policy are those of its definition, written out with whole Jacobians in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from recurlight.refiners import Refiner
from recurlight.truncation import (
    AndersonSolver,
    BroydenSolver,
    EveryUpdate,
    GradientTruncation,
    GradientWindow,
    ImplicitGradient,
    LastCycles,
    LastPerLevel,
    LastUpdates,
    NeumannGradient,
    PhantomGradient,
    PicardSolver,
)

from .helpers import gradients, loss, question, single, two_level

REFINERS = {"single": single, "two": two_level, "shared": lambda: two_level(shared=True)}
WINDOWS: list[GradientWindow] = [
    EveryUpdate(),
    LastUpdates(2),
    LastUpdates(4),
    LastCycles(1),
    LastCycles(3),
    LastPerLevel({"answer": 1, "latent": 1}),
    LastPerLevel({"answer": 2, "latent": 5}),
]
SOLVERS = [kind(tolerance=1e-13, check_every=1) for kind in (PicardSolver, AndersonSolver, BroydenSolver)]


class Explicit(nn.Module):
    """A refiner as a map of vectors, with its Jacobians by the state and by what is trained."""

    def __init__(self, refiner: Refiner, injection: Tensor) -> None:
        super().__init__()
        self.refiner, self.injection = refiner, injection
        self.start = refiner.initial_state(injection)
        self.trained = {f"refiner.{name}": weight.detach() for name, weight in refiner.named_parameters()}

    def forward(self, z: Tensor, injection: Tensor, levels: tuple[str, ...]) -> Tensor:
        parts = z.split([leaf.numel() for leaf in self.start])
        leaves = (part.reshape(leaf.shape) for part, leaf in zip(parts, self.start, strict=True))
        state = type(self.start)(*leaves)
        for level in levels:
            state = self.refiner.update(state, injection, level)
        return self.flat(state)

    @staticmethod
    def flat(state) -> Tensor:
        return torch.cat([leaf.flatten() for leaf in state])

    def apply(self, z: Tensor, levels: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the next state (n,), and its Jacobians by the state (n, n) and by what is trained (n, p)."""

        def run(z: Tensor, injection: Tensor, trained: dict[str, Tensor]) -> Tensor:
            return functional_call(self, trained, (z, injection, levels))

        by_state, by_injection, by_weights = jacrev(run, (0, 1, 2))(z, self.injection, self.trained)
        columns = [by_injection, *by_weights.values()]
        by_trained = torch.cat([part.reshape(len(z), -1) for part in columns], dim=1)
        return run(z, self.injection, self.trained), by_state, by_trained

    def written(self, level: str) -> Tensor:
        """Tell which numbers of the state belong to a level, (n,) bool."""
        leaves = zip(self.start._fields, self.start, strict=True)
        return torch.cat([torch.full((leaf.numel(),), name == level) for name, leaf in leaves])

    def gradient(self, z: Tensor) -> Tensor:
        """Return the gradient of the loss by the state, (n,)."""
        answers = self.start._fields.index("answer")
        sizes = [leaf.numel() for leaf in self.start]
        return torch.func.grad(lambda z: loss(z.split(sizes)[answers].reshape(self.start.answer.shape)))(z)


def ours(policy: GradientTruncation, refiner: Refiner, injection: Tensor, cycles: int) -> Tensor:
    injection = injection.clone().requires_grad_()
    start = refiner.initial_state(injection.detach())
    end = policy.run(refiner, start, injection, cycles)
    return torch.cat([part.flatten() for part in gradients(refiner, end.answer, injection)])


@pytest.fixture(params=REFINERS.values(), ids=REFINERS.keys())
def refiner(request) -> Refiner:
    return request.param()


@pytest.fixture
def explicit(refiner) -> Explicit:
    return Explicit(refiner, question(rows=2))


def at_the_fixed_point(explicit: Explicit) -> tuple[Tensor, Tensor, Tensor]:
    z = explicit.flat(explicit.start)
    for _ in range(12):  # Newton's method
        value, by_state, by_trained = explicit.apply(z, explicit.refiner.schedule())
        z = z + torch.linalg.solve(torch.eye(len(z), dtype=z.dtype) - by_state, value - z)
    return z, by_state, by_trained


def compare(found: Tensor, wanted: Tensor) -> None:
    assert wanted.abs().max() > 1e-3
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-8)


@pytest.mark.parametrize("policy", WINDOWS, ids=repr)
def test_a_window(policy, refiner, explicit):
    """Sensitivities pass every recorded update, and end in a level that is written without gradient."""
    if isinstance(policy, LastPerLevel):
        policy = LastPerLevel({k: n for k, n in policy.counts.items() if k in refiner.schedule()})
    z, moved = explicit.flat(explicit.start), torch.zeros(())
    updates, mask = refiner.schedule() * 4, policy.mask(refiner.schedule(), 4)
    for level, recorded in zip(updates, mask, strict=True):
        z, by_state, by_trained = explicit.apply(z, (level,))
        moved = torch.zeros_like(by_trained) if moved.ndim == 0 else moved
        kept = (~explicit.written(level))[:, None] * moved
        moved = by_state @ moved + by_trained if recorded else kept
    compare(ours(policy, refiner, explicit.injection, 4), moved.T @ explicit.gradient(z))


@pytest.mark.parametrize(("steps", "damping"), [(1, 1.0), (2, 0.5), (4, 0.3)])
def test_the_phantom_gradient(steps, damping, refiner, explicit):
    z, moved = explicit.flat(explicit.start), torch.zeros(())
    for step in range(5):
        value, by_state, by_trained = explicit.apply(z, refiner.schedule())
        if step < 5 - steps:
            z, moved = value, torch.zeros_like(by_trained)
        else:
            z = (1 - damping) * z + damping * value
            moved = (1 - damping) * moved + damping * (by_state @ moved + by_trained)
    policy = PhantomGradient(steps, damping)
    compare(ours(policy, refiner, explicit.injection, 5), moved.T @ explicit.gradient(z))


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
def test_the_implicit_gradient(solver, refiner, explicit):
    z, by_state, by_trained = at_the_fixed_point(explicit)
    adjoint = torch.linalg.solve(torch.eye(len(z), dtype=z.dtype) - by_state.T, explicit.gradient(z))
    policy = ImplicitGradient(solver, solver, backward_steps=200)
    compare(ours(policy, refiner, explicit.injection, 200), by_trained.T @ adjoint)


@pytest.mark.parametrize(("steps", "damping"), [(0, 1.0), (1, 1.0), (4, 1.0), (3, 0.4)])
def test_the_neumann_gradient(steps, damping, refiner, explicit):
    z, by_state, by_trained = at_the_fixed_point(explicit)
    blend = damping * by_state.T + (1 - damping) * torch.eye(len(z), dtype=z.dtype)
    series = sum(torch.linalg.matrix_power(blend, power) for power in range(steps + 1))
    adjoint = damping * series @ explicit.gradient(z)
    policy = NeumannGradient(steps, damping, SOLVERS[1])
    compare(ours(policy, refiner, explicit.injection, 200), by_trained.T @ adjoint)

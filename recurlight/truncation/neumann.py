"""The Neumann gradient: the first terms of the implicit gradient, and with none of them Jacobian-free."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.refiners.base import Refiner
from recurlight.truncation.anderson import AndersonSolver
from recurlight.truncation.fixed_point import FixedPointGradient, SolverReport, warn_unconverged
from recurlight.truncation.solvers import Convergence, FixedPointSolver, relative_residual

__all__ = ["NeumannGradient"]


@dataclass(frozen=True)
class NeumannGradient(FixedPointGradient):
    r"""Solve for the fixed point of the cycle and add up the first terms of its implicit gradient.

    Forward: as `ImplicitGradient`. Backward: `u = damping * sum_{i <= steps} B^i g` with
    `B = damping J^T + (1 - damping) I` and `J = d cycle / d z` at `z*`; without damping `g + J^T g + ...`.

    `NeumannGradient(steps=0)` is the **Jacobian-free gradient**: that of one cycle at the fixed point. With
    `solver=PicardSolver()` the solve is plain cycles. Memory of one cycle, and a fixed cost: use it where the
    backward solve of `ImplicitGradient` does not converge. At the fixed point it equals
    `PhantomGradient(steps + 1, damping)`, which records every one of its cycles.

    Args:
        steps: Vector-Jacobian products, 0 or more, each as costly as the backward pass of one cycle.
        damping: In (0, 1]; smaller also sums up where `J` turns, and needs more steps.
        solver: Finds the fixed point, starting from the state on entry.

    Example:
        >>> NeumannGradient(steps=0).figures()
        ('forward_residual', 'forward_steps', 'forward_converged')

    Reference:
        Geng et al., On training implicit models, arXiv:2111.05177; Fung et al., Jacobian-free
        backpropagation, arXiv:2103.12803.
    """

    steps: int = 5
    damping: float = 1.0
    solver: FixedPointSolver = field(default_factory=AndersonSolver)
    report: SolverReport = field(default_factory=SolverReport, init=False, repr=False, compare=False)

    def check(self, refiner: Refiner[Any], cycles: int) -> None:
        """Refuse cycles without a fixed point, and steps or damping out of range."""
        if not 0 < self.damping <= 1:
            raise IncompatibleComponents(
                f"{self!r} cannot damp: set truncation damping above 0, to at most 1"
            )
        if self.steps < 0:
            raise IncompatibleComponents(f"{self!r} cannot sum up: set truncation steps to 0 or more")
        self.require_fixed_point(refiner, cycles, recorded=1 + self.steps)

    def adjoint(self, product: Callable[[Tensor], Tensor], gradient: Tensor) -> Tensor:
        """Add up the terms, and report the last one against their sum."""
        total = term = self.damping * gradient
        for _ in range(self.steps):
            term = self.damping * product(term) + (1 - self.damping) * term
            total = total + term
        if self.steps:
            # The step to the sum from the sum without its last term, were it taken without damping.
            step = term / self.damping
            residual = relative_residual(step, total - term + step)
            steps = torch.full_like(residual, self.steps, dtype=torch.int64)
            self.report.backward = Convergence(residual, steps, residual <= self.solver.tolerance)
        return total

    @property
    def unsettled(self) -> float:
        """Share of its sum that the last term has where terms do not shrink: what those of one size leave."""
        return 1 / (1 + self.steps * self.damping)

    def figures(self) -> tuple[str, ...]:
        """Return the names of the figures; without a series there are none of the backward pass."""
        names = super().figures()
        return names if self.steps else names[:3]

    def warn(self) -> None:
        """Warn of a fixed point that was not found, and of a series whose terms do not shrink."""
        found = self.diagnostics()
        last = found.pop("backward_residual", torch.zeros(())).item()
        warn_unconverged(found, policy=type(self).__name__)
        if not last < self.unsettled:
            warnings.warn(
                f"the series of {type(self).__name__} does not converge, its gradient is wrong: the last of "
                f"its terms is {last:.2g} of their sum; lower damping, or set steps=0",
                RuntimeWarning,
                stacklevel=2,
            )

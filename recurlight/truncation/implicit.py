"""The implicit gradient: differentiate the fixed point, not the way to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.refiners.base import Refiner
from recurlight.truncation.anderson import AndersonSolver
from recurlight.truncation.fixed_point import FixedPointGradient, SolverReport
from recurlight.truncation.solvers import FixedPointSolver

__all__ = ["ImplicitGradient"]


@dataclass(frozen=True)
class ImplicitGradient(FixedPointGradient):
    """Solve for the fixed point of the cycle and differentiate it by the implicit function theorem.

    Forward: `z* = cycle(z*)` by at most `cycles - 1` evaluations without gradient, then one recorded cycle.
    Backward: `u = g + J^T u` with `J = d cycle / d z` at `z*`, and the gradient of
    weights and injection is that of the one recorded cycle under `u`.

    Memory of one cycle, and exact where both solves converge; watch `diagnostics()`, for elsewhere it is
    not a gradient of anything. Use `NeumannGradient` or `PhantomGradient` where the backward solve does not
    converge, and a window for refiners with noise or step embeddings.

    Args:
        solver: Finds the fixed point, starting from the state on entry.
        backward_solver: Solves the linear equation, starting from `g`: its best point is never worse in
            residual than the Jacobian-free gradient, at which it begins.
        backward_steps: Vector-Jacobian products of the backward solve at most, each as costly as the
            backward pass of one cycle.

    Example:
        >>> ImplicitGradient(backward_steps=10).diagnostics()
        {}

    Reference:
        Bai et al., Deep equilibrium models, arXiv:1909.01377.
    """

    solver: FixedPointSolver = field(default_factory=AndersonSolver)
    backward_solver: FixedPointSolver = field(default_factory=AndersonSolver)
    backward_steps: int = 20
    report: SolverReport = field(default_factory=SolverReport, init=False, repr=False, compare=False)

    def check(self, refiner: Refiner[Any], cycles: int) -> None:
        """Refuse cycles without a fixed point, and too few evaluations."""
        if self.backward_steps < 1:
            raise IncompatibleComponents(
                f"{self!r} solves nothing: set truncation backward_steps to at least 1, "
                "or take NeumannGradient(steps=0)"
            )
        # At a fixed point every update is followed by all the others.
        self.require_fixed_point(refiner, cycles, recorded=2)

    def adjoint(self, product: Callable[[Tensor], Tensor], gradient: Tensor) -> Tensor:
        """Solve `u = g + J^T u`."""
        found = self.backward_solver.solve(lambda u: gradient + product(u), gradient, self.backward_steps)
        self.report.backward = found.convergence
        return found.point

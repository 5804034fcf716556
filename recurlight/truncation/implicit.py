"""The implicit gradient: differentiate the fixed point, not the way to it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from recurlight.errors import IncompatibleComponents
from recurlight.refiners.base import Refiner
from recurlight.spec.given import within
from recurlight.truncation.base import GradientTruncation
from recurlight.truncation.reach import require_gradient, require_stationary
from recurlight.truncation.solvers import AndersonSolver, FixedPointSolver
from recurlight.types import StateT

__all__ = ["ImplicitGradient", "SolverReport", "warn_unconverged"]

_ADVICE = {
    "forward_residual": "raise cycles, or lower solver damping, or give AndersonSolver a longer history",
    "backward_residual": "raise backward_steps, or lower backward_solver damping, or use PhantomGradient",
}


def warn_unconverged(residuals: Mapping[str, Tensor], above: float = 0.1) -> None:
    """Warn about solves that did not converge; reading the values waits for the device.

    Call it now and then, for example when logging, not in every step.

    Args:
        residuals: What `ImplicitGradient.diagnostics()` returned; other keys are ignored.
        above: Mean relative residual that is worth a warning; one that is not finite always is.

    Example:
        >>> warn_unconverged({"forward_residual": torch.tensor(0.01)})
    """
    for name, advice in _ADVICE.items():
        residual = residuals[name].item() if name in residuals else 0.0
        if not residual <= above:
            effect = "its gradient is wrong" if math.isfinite(residual) else "a row was never finite"
            found = f"{name} is {residual:.2g}, above {above:g}"
            message = f"ImplicitGradient did not converge, {effect}: {found}; {advice}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)


@dataclass(eq=False)
class SolverReport:
    """Relative residuals of the last solves, `(B,)`, on their device; None before the first."""

    forward: Tensor | None = None
    backward: Tensor | None = None


@dataclass(frozen=True)
class _Layout:
    """How a state lies in one `(B, F)` row tensor."""

    spec: TreeSpec
    shapes: tuple[torch.Size, ...]
    dtypes: tuple[torch.dtype, ...]

    def pack(self, state: Any) -> Tensor:
        """Concatenate all fields in float32, or in float64 if one of them is."""
        wide = torch.float64 if torch.float64 in self.dtypes else torch.float32
        return torch.cat([leaf.flatten(1).to(wide) for leaf in tree_flatten(state)[0]], dim=1)

    def unpack(self, rows: Tensor) -> Any:
        """Cut rows back into fields of the original shapes and dtypes."""
        parts = torch.split(rows, [shape[1:].numel() for shape in self.shapes], dim=1)
        fields = zip(parts, self.shapes, self.dtypes, strict=True)
        return tree_unflatten([part.reshape(shape).to(dtype) for part, shape, dtype in fields], self.spec)


def _layout(state: Any) -> _Layout:
    leaves, spec = tree_flatten(state)
    return _Layout(spec, tuple(leaf.shape for leaf in leaves), tuple(leaf.dtype for leaf in leaves))


@dataclass(frozen=True)
class ImplicitGradient(GradientTruncation):
    """Solve for the fixed point of the cycle and differentiate it by the implicit function theorem.

    Forward: `z* = cycle(z*)` by at most `cycles - 1` evaluations without gradient, then one recorded cycle.
    Backward: `u = g + J^T u` with `J = d cycle / d z` at `z*`, and the gradient of
    weights and injection is that of the one recorded cycle under `u`.

    Memory of one cycle, and exact where both solves converge; watch `diagnostics()`, for elsewhere it is
    not a gradient of anything. Use `PhantomGradient` where the backward solve does not converge, and a
    window for refiners with noise or step embeddings.

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
        Bai et al., Deep equilibrium models, arXiv:1909.01377; Fung et al., Jacobian-free backpropagation,
        arXiv:2103.12803.
    """

    solver: FixedPointSolver = field(default_factory=AndersonSolver)
    backward_solver: FixedPointSolver = field(default_factory=AndersonSolver)
    backward_steps: int = 20
    report: SolverReport = field(default_factory=SolverReport, init=False, repr=False, compare=False)

    def check(self, refiner: Refiner[Any], cycles: int) -> None:
        """Refuse cycles without a fixed point, and too few evaluations."""
        require_stationary(refiner, self)
        if cycles < 2:
            raise IncompatibleComponents(
                f"ImplicitGradient needs a cycle to solve and one to record: set cycles={cycles} to 2 or more"
            )
        if self.backward_steps < 1:
            raise IncompatibleComponents(
                f"{self!r} solves nothing: set truncation backward_steps to at least 1"
            )
        updates = refiner.schedule() * 2  # at a fixed point every update is followed by all the others
        require_gradient(refiner, updates, (True,) * len(updates), self)

    def run(self, refiner: Refiner[StateT], state: StateT, injection: Tensor, cycles: int) -> StateT:
        """Solve without gradient, then apply one cycle in the caller's mode."""
        within(f"{type(self).__name__}.run", "cycles", cycles, 1)
        layout = _layout(state)

        def cycle(rows: Tensor) -> Tensor:
            return layout.pack(refiner.cycle(layout.unpack(rows), injection))

        rows, residual = self.solver.solve(cycle, layout.pack(state).detach(), cycles - 1)
        if torch.is_grad_enabled():  # evaluation in between must not speak for training
            self.report.forward = residual
        rows = self._record(cycle, rows) if torch.is_grad_enabled() else cycle(rows)
        result: StateT = layout.unpack(rows)
        return result

    def _record(self, cycle: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Apply the cycle and replace the gradient that reaches it by the solution of the linear equation."""
        start = rows.detach().requires_grad_()
        end = cycle(start)

        def solve(gradient: Tensor) -> Tensor:
            def step(u: Tensor) -> Tensor:
                return gradient + torch.autograd.grad(end, start, u, retain_graph=True)[0]

            u, self.report.backward = self.backward_solver.solve(step, gradient, self.backward_steps)
            return u

        # The hook sits on a view: on `end` itself it would also catch the products that it computes.
        result = end.view_as(end)
        result.register_hook(solve)  # type: ignore[no-untyped-call,unused-ignore]
        return result

    def figures(self) -> tuple[str, ...]:
        """Return the names of both residuals."""
        return "forward_residual", "backward_residual"

    def warn(self) -> None:
        """Warn of solves that did not converge."""
        warn_unconverged(self.diagnostics())

    def diagnostics(self) -> dict[str, Tensor]:
        """Return the mean relative residuals of the last solves, 0-d, as `warn_unconverged` reads them."""
        found = zip(self.figures(), (self.report.forward, self.report.backward), strict=True)
        return {name: residual.mean() for name, residual in found if residual is not None}

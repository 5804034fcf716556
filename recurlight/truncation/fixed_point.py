"""What gradients of a fixed point share: the solve, the one recorded cycle, and what is said of both."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from recurlight.errors import IncompatibleComponents
from recurlight.refiners.base import Refiner
from recurlight.spec.given import within
from recurlight.truncation.base import GradientTruncation
from recurlight.truncation.reach import require_gradient, require_stationary
from recurlight.truncation.solvers import Convergence, FixedPointSolver
from recurlight.types import StateT

__all__ = ["FixedPointGradient", "SolverReport", "warn_unconverged"]

_ADVICE = {
    "forward_residual": "raise cycles, or lower solver damping, or give AndersonSolver a longer history",
    "backward_residual": "raise backward_steps, or lower backward_solver damping, or use PhantomGradient",
}


def warn_unconverged(
    residuals: Mapping[str, Tensor], above: float = 0.1, policy: str = "ImplicitGradient"
) -> None:
    """Warn about solves that are far from a fixed point; reading the values waits for the device.

    Call it now and then, for example when logging, not in every step. Many solves of a training run stop
    short of their solver's tolerance, and are of use; so the bound does not follow it, and what lies between
    the two `recurlight doctor` calls `watch`. Where every row met its solver's tolerance, however wide,
    there is nothing to warn of.

    Args:
        residuals: What `ImplicitGradient.diagnostics()` returned; other keys are ignored.
        above: Mean relative residual that is worth a warning; one that is not finite always is.
        policy: Whose solves they are, named in the warning.

    Example:
        >>> warn_unconverged({"forward_residual": torch.tensor(0.01)})
    """
    for name, advice in _ADVICE.items():
        converged = residuals.get(name.replace("residual", "converged"))
        residual = residuals[name].item() if name in residuals else 0.0
        if not residual <= above and (converged is None or converged.item() < 1):
            effect = "its gradient is wrong" if math.isfinite(residual) else "a row was never finite"
            found = f"{name} is {residual:.2g}, above {above:g}"
            message = f"{policy} did not converge, {effect}: {found}; {advice}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)


@dataclass(eq=False)
class SolverReport:
    """How far the last solves came, row by row, on their device; None before the first.

    Attributes:
        forward: Of the fixed point: `residual` `(B,)`, `steps` `(B,)` int64 and `converged` `(B,)` bool.
        backward: The same of the gradient.
    """

    forward: Convergence | None = None
    backward: Convergence | None = None


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


def _names(solve: str) -> tuple[str, ...]:
    return tuple(f"{solve}_{figure}" for figure in Convergence._fields)


class FixedPointGradient(GradientTruncation):
    """Solve for the fixed point of the cycle, and record one cycle there.

    Forward: `z* = cycle(z*)` by at most `cycles - 1` evaluations without gradient, then one recorded cycle.
    Backward: `adjoint` makes of the gradient `g` of the answer the `u` that enters the recorded
    cycle, from products with `J^T`, `J = d cycle / d z` at `z*`. Memory is that of one cycle,
    whatever the number of cycles and of products.

    Write `check`, with the help of `require_fixed_point`, and `adjoint`; declare the fields `solver` and
    `report`, as `NeumannGradient` does.
    """

    solver: FixedPointSolver
    report: SolverReport

    @abstractmethod
    def adjoint(self, product: Callable[[Tensor], Tensor], gradient: Tensor) -> Tensor:
        """Make of the gradient that reaches the fixed point the one that enters the recorded cycle.

        Args:
            product: From `u`, `(B, F)`, to `J^T u`; as costly as the backward pass of one cycle.
            gradient: `g`, `(B, F)` float32 or float64.

        Returns:
            `u`, `(B, F)`; exact is `(I - J^T)^-1 g`.
        """

    def require_fixed_point(self, refiner: Refiner[Any], cycles: int, recorded: int) -> None:
        """Refuse cycles without a fixed point, too few evaluations, and cells without gradient.

        Args:
            refiner: Supplies the updates.
            cycles: Number of cycles.
            recorded: Cycles that gradient passes: 1, and one more for each product.

        Raises:
            IncompatibleComponents: With the setting to change.
        """
        require_stationary(refiner, self)
        if cycles < 2:
            raise IncompatibleComponents(
                f"{type(self).__name__} needs a cycle to solve and one to record: "
                f"set cycles={cycles} to 2 or more"
            )
        updates = refiner.schedule() * recorded
        require_gradient(refiner, updates, (True,) * len(updates), self)

    def run(self, refiner: Refiner[StateT], state: StateT, injection: Tensor, cycles: int) -> StateT:
        """Solve without gradient, then apply one cycle in the caller's mode."""
        within(f"{type(self).__name__}.run", "cycles", cycles, 1)
        layout = _layout(state)

        def cycle(rows: Tensor) -> Tensor:
            return layout.pack(refiner.cycle(layout.unpack(rows), injection))

        found = self.solver.solve(cycle, layout.pack(state).detach(), cycles - 1)
        if torch.is_grad_enabled():  # evaluation in between must not speak for training
            self.report.forward = found.convergence
            rows = self._record(cycle, found.point)
        else:
            rows = cycle(found.point)
        result: StateT = layout.unpack(rows)
        return result

    def _record(self, cycle: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Apply the cycle and pass the gradient that reaches it through `adjoint`."""
        start = rows.detach().requires_grad_()
        end = cycle(start)

        def product(u: Tensor) -> Tensor:
            return torch.autograd.grad(end, start, u, retain_graph=True)[0]

        # The hook sits on a view: on `end` itself it would also catch the products that it computes.
        result = end.view_as(end)
        result.register_hook(lambda gradient: self.adjoint(product, gradient))  # type: ignore[no-untyped-call,unused-ignore]
        return result

    def figures(self) -> tuple[str, ...]:
        """Return the names of residuals, steps and converged shares of both solves."""
        return (*_names("forward"), *_names("backward"))

    def warn(self) -> None:
        """Warn of solves that did not converge."""
        warn_unconverged(self.diagnostics(), policy=type(self).__name__)

    def diagnostics(self) -> dict[str, Tensor]:
        """Return the means of the last solves, 0-d: relative residual, steps, and share that converged."""
        solves = (("forward", self.report.forward), ("backward", self.report.backward))
        return {
            name: figure.to(solve.residual.dtype).mean()
            for kind, solve in solves
            if solve is not None
            for name, figure in zip(_names(kind), solve, strict=True)
        }

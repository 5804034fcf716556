"""Whether the solvers of an implicit gradient reach their tolerance."""

from __future__ import annotations

from collections.abc import Mapping

from recurlight.diagnostics.finding import Finding
from recurlight.truncation import ImplicitGradient
from recurlight.truncation.base import GradientTruncation

__all__ = ["convergence"]

_ADVICE = {
    "forward": "more cycles, another damping of the solver, or a contracting cell",
    "backward": "more backward_steps, another damping of the backward_solver, or PhantomGradient",
}


def convergence(truncation: GradientTruncation, residuals: Mapping[str, float]) -> Finding:
    """Judge mean relative residuals: `fine` within the solver's tolerance, `broken` above 0.1.

    Args:
        truncation: Whose solvers they are.
        residuals: What it says of its last run, `forward_residual` and `backward_residual`.

    Example:
        >>> convergence(ImplicitGradient(), {"forward_residual": 0.3, "backward_residual": 0.0}).verdict
        'broken'
    """
    if not isinstance(truncation, ImplicitGradient):
        return Finding("solver", "unjudged", f"{type(truncation).__name__} solves nothing")
    tolerances = {
        "forward": truncation.solver.tolerance,
        "backward": truncation.backward_solver.tolerance,
    }
    found = {name: residuals[f"{name}_residual"] for name in tolerances if f"{name}_residual" in residuals}
    missed = [name for name, value in found.items() if not value <= tolerances[name]]
    text = ", ".join(f"{name} {value:.2g} of {tolerances[name]:.2g}" for name, value in found.items())
    figures = {f"solver_{name}": value for name, value in found.items()}
    if not missed:
        return Finding("solver", "fine", f"residuals {text}", figures)
    broken = not all(value <= 0.1 for value in found.values())
    change = "; ".join(_ADVICE[name] for name in missed)
    return Finding("solver", "broken" if broken else "watch", f"residuals {text}", figures, change)

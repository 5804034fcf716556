"""Whether the solvers of a truncation reach their tolerance."""

from __future__ import annotations

from collections.abc import Mapping

from recurlight.diagnostics.finding import Finding
from recurlight.truncation import FixedPointSolver, NeumannGradient
from recurlight.truncation.base import GradientTruncation

__all__ = ["convergence", "solvers_of"]

_FIELDS = {"forward": "solver", "backward": "backward_solver"}
_ADVICE = {
    "forward": "more cycles, another damping of the solver, or a contracting cell",
    "backward": "more backward_steps, another damping of the backward_solver, or PhantomGradient",
    "series": "lower damping of the series, whose terms do not shrink, or steps=0",
}


def solvers_of(truncation: GradientTruncation) -> dict[str, FixedPointSolver]:
    """Return the solvers of both passes; none of windows, of which no pass is a solve.

    Example:
        >>> from recurlight import ImplicitGradient, LastCycles
        >>> list(solvers_of(ImplicitGradient())), list(solvers_of(LastCycles(1)))
        (['forward', 'backward'], [])
    """
    parts = vars(truncation)
    found = {way: parts.get(name) for way, name in _FIELDS.items()}
    return {way: part for way, part in found.items() if isinstance(part, FixedPointSolver)}


def convergence(truncation: GradientTruncation, said: Mapping[str, float]) -> Finding:
    """Judge mean relative residuals: `fine` within the solver's tolerance, `broken` above 0.1.

    A series that `NeumannGradient` adds up is `broken` where its terms do not shrink.

    Args:
        truncation: Whose solvers they are.
        said: What its `diagnostics` tell of its last run: `forward_residual`, `backward_residual`, and
            `forward_converged`, `backward_converged` where it counts the rows that a solver took for solved.

    Example:
        >>> from recurlight import ImplicitGradient
        >>> convergence(ImplicitGradient(), {"forward_residual": 0.3, "backward_residual": 0.0}).verdict
        'broken'
    """
    solvers = {way: one for way, one in solvers_of(truncation).items() if f"{way}_residual" in said}
    if not solvers:
        return Finding("solver", "unjudged", f"{type(truncation).__name__} solves nothing")
    residuals = {way: said[f"{way}_residual"] for way in solvers}
    text = ", ".join(f"{way} {residuals[way]:.2g} of {one.tolerance:.2g}" for way, one in solvers.items())
    figures = {f"solver_{way}": residual for way, residual in residuals.items()}
    missed = [
        way
        for way, one in solvers.items()
        if not residuals[way] <= one.tolerance and said.get(f"{way}_converged", 0.0) < 1
    ]
    broken = not all(residuals[way] <= 0.1 for way in missed)
    if isinstance(truncation, NeumannGradient) and "backward_residual" in said:
        last = figures["solver_backward"] = said["backward_residual"]
        text += f", last term of the series {last:.2g}"
        if not last < truncation.unsettled:
            missed, broken = [*missed, "series"], True
    if not missed:
        return Finding("solver", "fine", f"residuals {text}", figures)
    change = "; ".join(_ADVICE[way] for way in missed)
    return Finding("solver", "broken" if broken else "watch", f"residuals {text}", figures, change)

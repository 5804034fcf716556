"""Whether the state settles: relative changes of each level by update, and of all by segment."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from recurlight.diagnostics.finding import Finding
from recurlight.diagnostics.tracing import Trace, flat
from recurlight.halting.convergence import relative_change

__all__ = ["residuals", "segment_residuals", "settling"]


def residuals(seen: Trace) -> dict[str, Tensor]:
    """Return the mean relative change of each level by each of its updates, `(U,)`.

    Example:
        >>> from recurlight.diagnostics.tracing import Step
        >>> steps = tuple(Step(1, "answer", torch.tensor(change)) for change in ([0.4, 0.2], [0.2, 0.0]))
        >>> residuals(Trace(steps, (), (), ()))
        {'answer': tensor([0.3000, 0.1000])}
    """
    return {level: seen.changes(level).mean(dim=1) for level in seen.levels()}


def segment_residuals(seen: Trace) -> Tensor:
    """Return the relative change of the whole state by each segment, `(S, B)`."""
    states = [flat(state) for state in seen.states]
    return torch.stack([relative_change(*pair) for pair in pairwise(states)])


def settling(seen: Trace) -> Finding:
    """Judge the change of the levels from their first update to their last.

    `broken` where a state is not finite, `watch` where a level moves more at its last update than at its
    first, `fine` otherwise: a recursion that goes on moving without growing may be as it should.
    """
    curves = {level: curve.tolist() for level, curve in residuals(seen).items()}
    by_segment = segment_residuals(seen).mean(dim=1).tolist()
    figures = {f"residual_{level}": curve[-1] for level, curve in curves.items()}
    figures["residual_segment"] = by_segment[-1]
    text = ", ".join(f"{level} {curve[0]:.2g} to {curve[-1]:.2g}" for level, curve in curves.items())
    text += f" by update, state {by_segment[-1]:.2g} in the last segment"
    curves["segment"] = by_segment
    if not flat(seen.states[-1]).isfinite().all():
        return Finding("residual", "broken", f"the state is not finite: {text}", figures, _FINITE, curves)
    grows = [level for level in seen.levels() if curves[level][-1] > max(curves[level][0], _STILL)]
    if grows:
        change = f"fewer segments or cycles, or a cell that damps: {', '.join(grows)} moves more and more"
        return Finding("residual", "watch", text, figures, change, curves)
    return Finding("residual", "fine", text, figures, "", curves)


_FINITE = "a lower learning rate, gradient clipping, or a cell with a norm at its end"
_STILL = 1e-3  # below it a change is rounding in float32 or lower

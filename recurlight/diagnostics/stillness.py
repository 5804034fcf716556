"""Levels that no update changes, and slots in which one is stuck."""

from __future__ import annotations

from torch import Tensor

from recurlight.diagnostics.finding import Finding
from recurlight.diagnostics.tracing import Trace

__all__ = ["liveliness", "still"]


def still(seen: Trace, least: float = 1e-6) -> dict[str, Tensor]:
    """Tell in which rows a level never changes, `(B,)` bool for each level.

    Its first update is left out where there are more: what leads from the start to one and the same value
    is no refinement.

    Args:
        seen: A solve.
        least: Relative change that counts as one; float32 resolves about 1e-7.

    Example:
        >>> import torch
        >>> from recurlight.diagnostics.tracing import Step
        >>> steps = tuple(Step(1, "latent", torch.tensor(change)) for change in ([0.9, 0.9], [0.0, 0.2]))
        >>> still(Trace(steps, (), (), ()))
        {'latent': tensor([ True, False])}
    """
    found = {}
    for level in seen.levels():
        changes = seen.changes(level)
        found[level] = (changes[min(1, len(changes) - 1) :] <= least).all(dim=0)
    return found


def liveliness(seen: Trace) -> Finding:
    """Judge what never changes: `broken` for a level in all slots, `watch` in some."""
    found = {level: rows.float().mean().item() for level, rows in still(seen).items()}
    figures = {f"still_{level}": share for level, share in found.items()}
    if not all(seen.changes(level).isfinite().all() for level in found):
        return Finding("levels", "unjudged", "the state is not finite", figures)
    dead = [level for level, share in found.items() if share == 1]
    stuck = [f"{level} in {share:.0%} of slots" for level, share in found.items() if 0 < share < 1]
    if dead:
        text, change = (
            f"{', '.join(dead)} never changes",
            "the cell or the schedule of that level, or drop it",
        )
        return Finding("levels", "broken", text, figures, change)
    if stuck:
        change = "look at these samples: their state is stuck from the second update on"
        return Finding("levels", "watch", f"never changes: {', '.join(stuck)}", figures, change)
    return Finding("levels", "fine", f"all change: {', '.join(found)}", figures)

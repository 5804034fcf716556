"""Whether the state goes round in a circle: it comes back to one seen several segments ago."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurlight.diagnostics.finding import Finding
from recurlight.diagnostics.tracing import Trace, flat

__all__ = ["circling", "periods"]


def periods(states: Sequence[Tensor], returned: float = 0.05, settled: float = 1e-3) -> Tensor:
    """Return after how many segments the last state comes back, `(B,)` int64; 0 for never, 1 for settled.

    `d_p = ||z_S - z_(S-p)||`; the smallest `p >= 2` with `d_p <= returned * max(d_1, ..., d_(p-1))`, unless
    `d_1 <= settled * ||z_S||`.

    Args:
        states: The state after each segment, `(B, F)` each.
        returned: Share of its travel within which a state has come back.
        settled: Relative change below which it has not left.

    Example:
        >>> there, back = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> periods([there, back, there]), periods([back, there, there])
        (tensor([2]), tensor([1]))
    """
    last = states[-1]
    found = torch.zeros(len(last), dtype=torch.int64, device=last.device)
    travelled = torch.zeros_like(last[:, 0])
    for count, before in enumerate(reversed(states[:-1]), start=1):
        away = torch.linalg.vector_norm(last - before, dim=1)
        near = returned * travelled if count > 1 else settled * torch.linalg.vector_norm(last, dim=1)
        found = torch.where((found == 0) & (away <= near), count, found)
        travelled = torch.maximum(travelled, away)
    return found


def circling(seen: Trace) -> Finding:
    """Judge how many rows go round; `watch` from 5 % of them on."""
    if len(seen.states) < 3:  # two segments are the least that can lead back
        return Finding("cycles", "unjudged", "one segment cannot come back: needs 2 or more")
    states = [flat(state) for state in seen.states]
    if not states[-1].isfinite().all():
        return Finding("cycles", "unjudged", "the state is not finite")
    found = periods(states)
    settled, circles = (found == 1).float().mean().item(), found > 1
    share = circles.float().mean().item()
    figures = {"settled": settled, "cycling": share}
    text = f"{settled:.0%} of samples settled, {share:.0%} return to an earlier state"
    if share < 0.05:
        return Finding("cycles", "fine", text, figures)
    period = int(found[circles].mode().values)
    change = "another number of cycles or segments, or damping; more segments will not help these samples"
    return Finding("cycles", "watch", f"{text}, mostly after {period} segments", figures, change)

"""How fast two nearby states part or meet: the spectral radius of a cycle, and its trend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from recurlight.diagnostics.finding import Finding, Verdict
from recurlight.diagnostics.solvers import solvers_of
from recurlight.diagnostics.tracing import Trace
from recurlight.metrics.counters import table_points
from recurlight.numerics import at_least_float32
from recurlight.recursion.driver import Recursion
from recurlight.recursion.padding import padding_told
from recurlight.refiners.base import Refiner
from recurlight.spec.given import within
from recurlight.truncation import GradientWindow
from recurlight.truncation.base import GradientTruncation
from recurlight.types import Batch, StateT

__all__ = ["Spectrum", "contraction", "radii", "spectral_radius"]


class Spectrum(NamedTuple):
    """How large the largest eigenvalue is, row by row.

    Attributes:
        radius: Its absolute value, `(B,)`.
        spread: How far the third and the last quarter of the iterations differ, relative to it, `(B,)`; near
            0 where the estimate has converged.
    """

    radius: Tensor
    spread: Tensor


def spectral_radius(
    cycle: Callable[[StateT], StateT], state: StateT, steps: int = 32, seed: int = 0
) -> Spectrum:
    """Estimate the spectral radius of `d cycle / d state` by power iteration.

    `u <- J^T u / ||J^T u||`; the estimate is the geometric mean of `||J^T u||` over the second half.

    A geometric mean, because the length goes up and down where the largest eigenvalues are a complex pair.

    Args:
        cycle: Map from state to state; rows do not see each other.
        state: Where it is differentiated, fields `(B, ...)`.
        steps: Products with the Jacobian, 8 or more, each as costly as the backward pass of a cycle.
        seed: Seed of the first vector, which is drawn from a generator of its own.

    Example:
        >>> from recurlight import SingleState
        >>> turn = torch.tensor([[0.0, 0.5], [-0.5, 0.0]])
        >>> ones = SingleState(torch.ones(1, 2))
        >>> spectral_radius(lambda state: SingleState(state.answer @ turn), ones).radius
        tensor([0.5000])
    """
    within("spectral_radius", "steps", steps, 8)
    # Products with the transposed matrix: it has the same eigenvalues, and every operation that can be
    # trained through has them, where forward-mode derivatives of attention are missing.
    with torch.enable_grad():
        leaf_of = tree_map(_leaf, state)
        inputs = [leaf for leaf in tree_leaves(leaf_of) if leaf.requires_grad]
        outputs = [leaf for leaf in tree_leaves(cycle(leaf_of)) if leaf.is_floating_point()]
    generator = torch.Generator().manual_seed(seed)
    vector = [torch.randn(leaf.shape, generator=generator).to(leaf) for leaf in outputs]
    growth = []
    for _ in range(steps):
        length = _length(vector)
        vector = [part / _like(length, part) for part in vector]
        vector = _product(outputs, inputs, vector)
        growth.append(_length(vector).log())
    return _estimate(torch.stack(growth))


def _leaf(leaf: Tensor) -> Tensor:
    return leaf.detach().requires_grad_() if leaf.is_floating_point() else leaf


def _product(outputs: list[Tensor], inputs: list[Tensor], vector: list[Tensor]) -> list[Tensor]:
    """Multiply the transposed Jacobian with a vector."""
    there = [(out, part) for out, part in zip(outputs, vector, strict=True) if out.requires_grad]
    if not there:  # the cycle does not look at the state
        return [torch.zeros_like(part) for part in vector]
    ends, parts = zip(*there, strict=True)
    found = torch.autograd.grad(ends, inputs, parts, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(leaf) if part is None else part for part, leaf in zip(found, inputs, strict=True)
    ]


def _length(vector: list[Tensor]) -> Tensor:
    """Return the length of each row, `(B,)`."""
    squares = [at_least_float32(part).flatten(1).square().sum(dim=1) for part in vector]
    return torch.stack(squares).sum(dim=0).sqrt()


def _like(length: Tensor, part: Tensor) -> Tensor:
    tiny = torch.finfo(length.dtype).tiny
    return length.clamp_min(tiny).to(part.dtype).reshape(-1, *[1] * (part.ndim - 1))


def _estimate(growth: Tensor) -> Spectrum:
    """Turn logarithms of the growth, `(steps, B)`, into an estimate."""
    quarter = len(growth) // 4
    third, last = growth[-2 * quarter : -quarter].mean(dim=0).exp(), growth[-quarter:].mean(dim=0).exp()
    radius = growth[-2 * quarter :].mean(dim=0).exp()
    tiny = torch.finfo(radius.dtype).tiny
    return Spectrum(radius, (last - third).abs() / radius.clamp_min(tiny))


def radii(
    recursion: Recursion, batch: Batch, seen: Trace, points: Sequence[int], steps: int = 32, seed: int = 0
) -> list[Spectrum]:
    """Estimate the spectral radius of the refiner's cycle after some segments.

    Args:
        recursion: The driver.
        batch: Its questions, `(B, ...)`.
        seen: How it solved them.
        points: Numbers of segments after which to look.
        steps: See `spectral_radius`.
        seed: See `spectral_radius`.
    """
    with padding_told(recursion, recursion.encoder, batch.inputs):
        return [
            spectral_radius(
                partial(_cycle, recursion.refiner, seen.injections[point - 1]),
                seen.states[point],
                steps,
                seed,
            )
            for point in points
        ]


def _cycle(refiner: Refiner[Any], injection: Tensor, state: Any) -> Any:
    return refiner.cycle(state, injection)


def contraction(recursion: Recursion, batch: Batch, seen: Trace, seed: int = 0) -> Finding:
    """Judge the spectral radius at the end: the median of the rows, against 1.

    Above 1 a cycle is no contraction, and a state that is nudged does not come back: `watch`, for trained HRM
    and TRM are like that and answer well; `broken` where a solver looks for the fixed point that is then
    differentiated, for the cycles do not lead to it.
    """
    points = table_points(len(seen.predictions))
    found = radii(recursion, batch, seen, points, seed=seed)
    trend = [each.radius.median().item() for each in found]
    radius, spread = trend[-1], found[-1].spread.median().item()
    above = (found[-1].radius > 1).float().mean().item()
    figures = {"radius": radius, "radius_spread": spread, "radius_above_1": above}
    if not math.isfinite(radius):
        return Finding("spectrum", "unjudged", "the state is not finite", figures)
    path = " ".join(f"{value:.2f}" for value in trend)
    text = f"{path} after {' '.join(map(str, points))} segments" if len(points) > 1 else path
    text += f", known to {spread:.0%}, above 1 in {above:.0%} of samples"
    curves = {"radius": trend, "segments": [float(point) for point in points]}
    verdict, change = _judged(radius, recursion.truncation)
    return Finding("spectrum", verdict, text, figures, change, curves)


def _judged(radius: float, truncation: GradientTruncation) -> tuple[Verdict, str]:
    if radius <= 1:
        return "fine", ""
    if solvers_of(truncation):
        return "broken", _CHANGE_FIXED
    return "watch", _CHANGE_WINDOW if isinstance(truncation, GradientWindow) else _CHANGE_NEAR


_CHANGE_FIXED = "damping or a contracting cell; or LastCycles in place of what solves"
_CHANGE_WINDOW = "nothing while accuracy is good; ConvergenceHalting would not stop it"
_CHANGE_NEAR = "damping or a contracting cell: the truncation takes the cycles to lead to a fixed point"

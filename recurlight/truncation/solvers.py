"""Fixed-point solvers on rows: `z = f(z)` for `(B, F)` tensors, every row on its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.spec import Recorded
from recurlight.spec.given import checked, within

__all__ = ["Convergence", "FixedPointSolver", "PicardSolver", "Solution", "relative_residual", "telling"]


_ROUNDING = 8
"""Units in the last place of a row that may be rounding."""


class Convergence(NamedTuple):
    """How far each row of a solve came.

    Attributes:
        residual: Relative residual of the returned point, `(B,)`; infinite where nothing was finite.
        steps: Evaluations until the row converged, `(B,)` int64; all of them where it did not.
        converged: Whether the returned point meets a tolerance of the solver, `(B,)` bool.
    """

    residual: Tensor
    steps: Tensor
    converged: Tensor


class Solution(NamedTuple):
    """What a solver returns: the best point of each row, and how far it came.

    Attributes:
        point: The points, `(B, F)`.
        residual: Their relative residuals, `(B,)`; infinite where nothing was finite.
        steps: Evaluations until the row converged, `(B,)` int64; all of them where it did not.
        converged: Whether the point meets a tolerance, `(B,)` bool; never where it is not finite.
    """

    point: Tensor
    residual: Tensor
    steps: Tensor
    converged: Tensor

    @property
    def convergence(self) -> Convergence:
        """The solution without its points, which are large."""
        return Convergence(self.residual, self.steps, self.converged)


def relative_residual(change: Tensor, value: Tensor) -> Tensor:
    """Measure how far each row is from a fixed point: `||f(z) - z|| / ||f(z)||`.

    Args:
        change: `f(z) - z`, `(B, F)`.
        value: `f(z)`, `(B, F)`.

    Returns:
        `(B,)` in the dtype of `change`; infinite for rows that are not finite.

    Example:
        >>> relative_residual(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 10.0]]))
        tensor([0.5000])
    """
    return _relative(_length(change), _length(value))


def _relative(size: Tensor, scale: Tensor) -> Tensor:
    """Divide lengths, `(B,)`; nothing is zero even of nothing, and what is not finite is infinite."""
    residual = torch.where(size == 0, 0.0, size / scale)
    return torch.where(residual.isfinite(), residual, torch.inf)


def _length(rows: Tensor) -> Tensor:
    """Return the length of each row, `(B,)`."""
    # Gradients are often so small, and diverging rows so large, that their squares are no numbers any more.
    largest = rows.abs().amax(1, keepdim=True)
    length: Tensor = torch.linalg.vector_norm(rows / torch.where(largest > 0, largest, 1.0), dim=1)
    return largest[:, 0] * length


def telling(step: Tensor, difference: Tensor, z: Tensor) -> Tensor:
    """Tell in which rows two evaluations say how the map changes: finite, and by more than rounding.

    A solver that learns from rounding sees a slope near zero and leaps as far as numbers go, where every
    residual is small relative to the point.

    Args:
        step: Difference of two points, `(B, F)`.
        difference: Difference of `f(z) - z` between them, `(B, F)`.
        z: The later point, `(B, F)`.

    Returns:
        `(B, 1)` bool.

    Example:
        >>> telling(torch.ones(2, 1), torch.tensor([[0.5], [1e-7]]), torch.ones(2, 1)).flatten()
        tensor([ True, False])
    """
    finite = (step.isfinite() & difference.isfinite()).all(1, keepdim=True)
    rounding = _ROUNDING * torch.finfo(z.dtype).eps * z.abs().amax(1, keepdim=True)
    return finite & (difference.abs().amax(1, keepdim=True) > rounding)


@dataclass(frozen=True, kw_only=True)
class FixedPointSolver(Recorded, ABC):
    """Find `z = f(z)` by repeated evaluation, row by row.

    A subclass says in `proposer` which point to try next; keeping the best point of each row and
    freezing the rows that have converged are done here, once.

    Args:
        damping: Share of the step `f(z) - z` that is taken, in (0, 1].
        tolerance: A row whose relative residual is at most this has converged and is frozen, unless its point
            has grown by more than its residual has shrunk, as where there is no fixed point. bfloat16 models
            reach about 1e-2.
        absolute_tolerance: So has a row whose `||f(z) - z||` is at most this, for fixed points near zero; 0
            leaves it to `tolerance`.
        check_every: Ask the device every so many steps whether all rows have converged, and stop early if so;
            0 never asks. It changes the time and never the result: asking stalls a GPU, so set it to about 8
            there and to 1 on a CPU, or leave it at 0 when compiling.

    Raises:
        IncompatibleComponents: A setting is out of range.
    """

    damping: float = 1.0
    tolerance: float = 1e-4
    absolute_tolerance: float = 0.0
    check_every: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.damping <= 1:
            raise IncompatibleComponents(f"{self!r} cannot step: set solver damping above 0, to at most 1")
        if min(self.tolerance, self.absolute_tolerance, self.check_every) < 0:
            raise IncompatibleComponents(
                f"{self!r}: set solver tolerance, absolute_tolerance and check_every to 0 or more"
            )

    @abstractmethod
    def proposer(self, z: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Start a solve at `z`, `(B, F)`; returns a function from `z` and `f(z) - z` to the next point."""

    @checked
    @torch.no_grad()
    def solve(self, f: Callable[[Tensor], Tensor], z: Tensor, max_steps: int) -> Solution:
        """Iterate from `z` and return the best point of each row, without gradient.

        Args:
            f: Map from `(B, F)` to `(B, F)` whose rows do not see each other.
            z: First point, `(B, F)` float32 or float64.
            max_steps: Evaluations of `f` at most.

        Returns:
            The points, their relative residuals, the evaluations taken and whether each row has converged.

        Raises:
            IncompatibleComponents: `z` is no floating-point `(B, F)`, or `max_steps` is negative.
        """
        within(f"{type(self).__name__}.solve", "max_steps", max_steps, 0)
        if z.ndim != 2 or not z.is_floating_point():
            raise IncompatibleComponents(
                f"{type(self).__name__}.solve got z {tuple(z.shape)} {z.dtype}: give float rows (B, F)"
            )
        propose, progress = self.proposer(z), _Progress(self, z)
        looking = self.check_every and not torch.compiler.is_exporting()
        for step in range(max_steps):
            value = f(z)
            change = value - z
            going = progress.note(z, value, change)
            if looking and step % self.check_every == 0 and bool(progress.converged.all()):
                break
            z = torch.where(going[:, None], propose(z, change), progress.point)
        return Solution(progress.point, progress.residual, progress.steps, progress.converged)


class _Progress:
    """The best point of each row so far."""

    def __init__(self, solver: FixedPointSolver, z: Tensor) -> None:
        self.solver, self.point = solver, z
        self.residual = torch.full_like(z[:, 0], torch.inf)
        self.steps = torch.zeros_like(self.residual, dtype=torch.int64)
        self.converged = torch.zeros_like(self.residual, dtype=torch.bool)
        self.near: Tensor | None = None

    def note(self, z: Tensor, value: Tensor, change: Tensor) -> Tensor:
        """Take the points that are better, and tell which rows go on from there, `(B,)`."""
        size, scale = _length(change), _length(value)
        residual = _relative(size, scale)
        tolerance, rounding = self.solver.tolerance, _ROUNDING * torch.finfo(z.dtype).eps * scale
        if self.near is None:
            near = torch.maximum(tolerance**0.5 * size, 2 * torch.maximum(tolerance * scale, rounding))
            self.near = torch.where(near.isfinite(), near, torch.inf)
        # Far out every residual is relatively small, or lost in rounding. Half of the digits must come from
        # the residual itself, or a row without a fixed point, such as a shifted one, would converge there.
        met = (residual <= tolerance) & (torch.maximum(size, rounding) <= self.near)
        if self.solver.absolute_tolerance:
            met = met | (size <= self.solver.absolute_tolerance)
        met = met & residual.isfinite()
        better = (met | (residual < self.residual)) & ~self.converged
        self.point = torch.where(better[:, None], z, self.point)
        self.residual = torch.where(better, residual, self.residual)
        self.steps, self.converged = self.steps + ~self.converged, self.converged | met
        return ~self.converged & residual.isfinite()


@dataclass(frozen=True, kw_only=True)
class PicardSolver(FixedPointSolver):
    """Apply the map again and again: `z <- z + damping * (f(z) - z)`.

    Converges where the damped map contracts, linearly. Use `AndersonSolver` for fewer evaluations.

    Example:
        >>> solution = PicardSolver(tolerance=1e-6).solve(lambda z: z / 2 + 1, torch.zeros(1, 1), 50)
        >>> round(solution.point.item(), 4), solution.steps.item(), solution.converged.item()
        (2.0, 20, True)
    """

    def proposer(self, z: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the damped step; it remembers nothing."""
        return lambda z, change: z + self.damping * change

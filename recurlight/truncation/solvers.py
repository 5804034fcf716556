"""Fixed-point solvers on rows: `z = f(z)` for `(B, F)` tensors, every row on its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.spec import Recorded
from recurlight.spec.given import checked, within

__all__ = ["AndersonSolver", "FixedPointSolver", "PicardSolver", "anderson_weights", "relative_residual"]


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
    # The smallest normal number, not a friendly 1e-8: gradients are often smaller than that.
    scale = torch.linalg.vector_norm(value, dim=1) + torch.finfo(value.dtype).tiny
    residual = torch.linalg.vector_norm(change, dim=1) / scale
    return torch.where(residual.isfinite(), residual, torch.inf)


@dataclass(frozen=True, kw_only=True)
class FixedPointSolver(Recorded, ABC):
    """Find `z = f(z)` by repeated evaluation, row by row.

    A subclass says in `proposer` which point to try next; keeping the best point of each row and
    freezing the rows that have converged are done here, once.

    Args:
        damping: Share of the step `f(z) - z` that is taken, in (0, 1].
        tolerance: A row whose relative residual is at most this is frozen. bfloat16 models reach about 1e-2.
        check_every: Ask the device every so many steps whether all rows have converged, and stop early if so;
            0 never asks. It changes the time and never the result: asking stalls a GPU, so set it to about 8
            there and to 1 on a CPU, or leave it at 0 when compiling.

    Raises:
        IncompatibleComponents: A setting is out of range.
    """

    damping: float = 1.0
    tolerance: float = 1e-4
    check_every: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.damping <= 1:
            raise IncompatibleComponents(f"{self!r} cannot step: set solver damping above 0, to at most 1")
        if self.tolerance < 0 or self.check_every < 0:
            raise IncompatibleComponents(f"{self!r}: set solver tolerance and check_every to 0 or more")

    @abstractmethod
    def proposer(self, z: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Start a solve at `z`, `(B, F)`; returns a function from `z` and `f(z) - z` to the next point."""

    @checked
    @torch.no_grad()
    def solve(self, f: Callable[[Tensor], Tensor], z: Tensor, max_steps: int) -> tuple[Tensor, Tensor]:
        """Iterate from `z` and return the best point of each row, without gradient.

        Args:
            f: Map from `(B, F)` to `(B, F)` whose rows do not see each other.
            z: First point, `(B, F)` float32 or float64.
            max_steps: Evaluations of `f` at most.

        Returns:
            The points, `(B, F)`, and their relative residuals, `(B,)`; infinite where nothing was finite.

        Raises:
            IncompatibleComponents: `z` is no floating-point `(B, F)`, or `max_steps` is negative.
        """
        within(f"{type(self).__name__}.solve", "max_steps", max_steps, 0)
        if z.ndim != 2 or not z.is_floating_point():
            raise IncompatibleComponents(
                f"{type(self).__name__}.solve got z {tuple(z.shape)} {z.dtype}: give float rows (B, F)"
            )
        propose = self.proposer(z)
        best, residual = z, torch.full_like(z[:, 0], torch.inf)
        looking = self.check_every and not torch.compiler.is_exporting()
        for step in range(max_steps):
            value = f(z)
            change = value - z
            now = relative_residual(change, value)
            better = (now < residual) & (residual > self.tolerance)
            best, residual = torch.where(better[:, None], z, best), torch.where(better, now, residual)
            if looking and step % self.check_every == 0 and bool((residual <= self.tolerance).all()):
                break
            going = (residual > self.tolerance) & now.isfinite()
            z = torch.where(going[:, None], propose(z, change), best)
        return best, residual


@dataclass(frozen=True, kw_only=True)
class PicardSolver(FixedPointSolver):
    """Apply the map again and again: `z <- z + damping * (f(z) - z)`.

    Converges where the damped map contracts, linearly. Use `AndersonSolver` for fewer evaluations.

    Example:
        >>> z, residual = PicardSolver(tolerance=1e-6).solve(lambda z: z / 2 + 1, torch.zeros(1, 1), 50)
        >>> round(z.item(), 4)
        2.0
    """

    def proposer(self, z: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the damped step; it remembers nothing."""
        return lambda z, change: z + self.damping * change


def anderson_weights(gram: Tensor, target: Tensor, ridge: float) -> Tensor:
    """Solve the ridge least-squares problem of Anderson's method from its normal equations.

    Columns are scaled to unit length first, so that `ridge` means the same at every residual.

    Args:
        gram: Products of the remembered differences of `f(z) - z`, `(B, M, M)`; zero for empty memory.
        target: Their products with the present `f(z) - z`, `(B, M)`.
        ridge: Added to the diagonal of the scaled matrix.

    Returns:
        Weights, `(B, M)`; not finite where a row's matrix cannot be factored.

    Example:
        >>> anderson_weights(torch.tensor([[[4.0]]]), torch.tensor([[2.0]]), ridge=0.0)
        tensor([[0.5000]])
    """
    length = gram.diagonal(dim1=1, dim2=2).sqrt()  # (B, M)
    empty = length == 0
    length = torch.where(empty, 1.0, length)
    scaled = gram / (length[:, :, None] * length[:, None, :])
    scaled = scaled + torch.diag_embed(empty.to(gram.dtype) + ridge)
    # The `_ex` form neither raises nor waits for the device: a bad row must not stop the others.
    factor, failed = torch.linalg.cholesky_ex(scaled)
    weights = torch.cholesky_solve((target / length)[:, :, None], factor)[:, :, 0] / length
    return torch.where(failed[:, None] == 0, weights, torch.nan)


class _Memory:
    """The last differences of `z` and of `f(z) - z` of one solve, and the products of the latter."""

    def __init__(self, solver: AndersonSolver, z: Tensor) -> None:
        self.solver = solver
        self.steps = 0
        self.points = z.new_zeros(z.shape[0], solver.history, z.shape[1])  # (B, M, F)
        self.changes = torch.zeros_like(self.points)
        self.gram = z.new_zeros(z.shape[0], solver.history, solver.history)
        self.last: tuple[Tensor, Tensor] | None = None

    def __call__(self, z: Tensor, change: Tensor) -> Tensor:
        if self.last is not None:
            self._remember(z - self.last[0], change - self.last[1])
        self.last = (z, change)
        # Sums of products, not matrix products: those lose precision under autocast and TF32.
        target = (self.changes * change[:, None]).sum(2)
        weights = anderson_weights(self.gram, target, self.solver.ridge)
        beta = self.solver.damping
        plain = z + beta * change
        mixed = plain - (weights[:, :, None] * (self.points + beta * self.changes)).sum(1)
        return torch.where(mixed.isfinite().all(1, keepdim=True), mixed, plain)

    def _remember(self, point: Tensor, change: Tensor) -> None:
        """Replace the oldest pair; a row that is not finite is stored as zeros, which means empty."""
        oldest = self.steps % self.solver.history
        sound = (point.isfinite() & change.isfinite()).all(1, keepdim=True)
        self.points[:, oldest] = torch.where(sound, point, 0.0)
        self.changes[:, oldest] = torch.where(sound, change, 0.0)
        products = (self.changes * self.changes[:, oldest, None]).sum(2)  # (B, M)
        self.gram[:, oldest] = products
        self.gram[:, :, oldest] = products
        self.steps += 1


@dataclass(frozen=True, kw_only=True)
class AndersonSolver(FixedPointSolver):
    r"""Combine the last steps so that their linear model has the smallest residual.

    `z <- z + damping * g - (dZ + damping * dG) w` with `g = f(z) - z` and
    `w = argmin ||g - dG w||`, regularized. Needs fewer evaluations than
    `PicardSolver`, often converges where that does not, and costs `2 * history` copies of the state.

    Args:
        history: Differences that are remembered.
        ridge: Regularization relative to the squared length of the differences; below 1e-6 only in float64.
        damping: Share of the step `f(z) - z` that is taken, in (0, 1].
        tolerance: A row whose relative residual is at most this is frozen.
        check_every: Steps between looks at the device for an early stop; 0 never looks.

    Example:
        >>> z, residual = AndersonSolver(history=2).solve(lambda z: 1 - 2 * z, torch.zeros(1, 1), 10)
        >>> round(z.item(), 3)
        0.333

    Reference:
        Anderson, Iterative procedures for nonlinear integral equations, 1965; Walker and Ni, Anderson
        acceleration for fixed-point iterations, 2011.
    """

    history: int = 5
    ridge: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.history < 1 or self.ridge < 0:
            raise IncompatibleComponents(f"{self!r}: set solver history to at least 1 and ridge to 0 or more")

    def proposer(self, z: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a step that remembers the last `history` differences."""
        return _Memory(self, z)

"""Anderson's method: combine the last steps by least squares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.truncation.solvers import FixedPointSolver, telling

__all__ = ["AndersonSolver", "anderson_weights"]


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
            self._remember(z, z - self.last[0], change - self.last[1])
        self.last = (z, change)
        # Sums of products, not matrix products: those lose precision under autocast and TF32.
        target = (self.changes * change[:, None]).sum(2)
        weights = anderson_weights(self.gram, target, self.solver.ridge)
        beta = self.solver.damping
        plain = z + beta * change
        mixed = plain - (weights[:, :, None] * (self.points + beta * self.changes)).sum(1)
        return torch.where(mixed.isfinite().all(1, keepdim=True), mixed, plain)

    def _remember(self, z: Tensor, point: Tensor, change: Tensor) -> None:
        """Replace the oldest pair; a row that tells nothing is stored as zeros, which means empty."""
        oldest = self.steps % self.solver.history
        sound = telling(point, change, z)
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
        absolute_tolerance: So is one whose absolute residual is at most this; 0 leaves it to `tolerance`.
        check_every: Steps between looks at the device for an early stop; 0 never looks.

    Example:
        >>> solution = AndersonSolver(history=2).solve(lambda z: 1 - 2 * z, torch.zeros(1, 1), 10)
        >>> round(solution.point.item(), 3), solution.converged.item()
        (0.333, True)

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

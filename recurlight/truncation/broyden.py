"""Broyden's method: learn the inverse Jacobian of the residual from the steps taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.truncation.solvers import FixedPointSolver, telling

__all__ = ["BroydenSolver"]

_LEAST = 0.1
"""How near an update may bring the Jacobian to a singular one: the damped update of the second reference."""

_WORSE = 5.0
"""By how much a step may raise the residual of a row before what was learnt of it is dropped."""


class _Inverse:
    """What one solve knows of the inverse Jacobian of `f(z) - z`: `-damping I + sum_m left_m right_m^T`."""

    def __init__(self, solver: BroydenSolver, z: Tensor) -> None:
        self.damping, self.history = solver.damping, solver.history
        self.count = 0
        self.left = z.new_zeros(z.shape[0], solver.history, z.shape[1])  # (B, M, F)
        self.right = torch.zeros_like(self.left)
        self.live = z.new_zeros(z.shape[0], solver.history)  # (B, M); 0 where there is no pair
        self.last: tuple[Tensor, Tensor] | None = None

    def __call__(self, z: Tensor, change: Tensor) -> Tensor:
        if self.last is not None:
            self._learn(z, z - self.last[0], change - self.last[1])
            # A step that made it far worse, or not finite, came from a bad model: the next one is plain.
            now, before = (row.abs().amax(1, keepdim=True) for row in (change, self.last[1]))
            self.live = torch.where(now <= _WORSE * before, self.live, 0.0)
        self.last = (z, change)
        step = z - self._times(self.left, self.right, change)
        plain = z + self.damping * change
        return torch.where(step.isfinite().all(1, keepdim=True), step, plain)

    def _times(self, left: Tensor, right: Tensor, x: Tensor) -> Tensor:
        """Multiply rows by the inverse, or by its transpose if the sides are swapped."""
        # Sums of products, not matrix products: those lose precision under autocast and TF32.
        weights = (right * x[:, None]).sum(2) * self.live  # (B, M)
        return (left * weights[:, :, None]).sum(1) - self.damping * x

    def _learn(self, z: Tensor, step: Tensor, difference: Tensor) -> None:
        """Add the pair after which the inverse maps `difference` to `step`; a full memory begins anew."""
        place = self.count % self.history
        self.count += 1
        if place == 0:  # each pair was made on top of the ones before it, so that none of those can go alone
            self.live = torch.zeros_like(self.live)
        length = step.abs().amax(1, keepdim=True)  # only the ratio counts, and squares of tiny numbers vanish
        left, right = self._pair(step / length, difference / length)
        sound = telling(step, difference, z) & (left.isfinite() & right.isfinite()).all(1, keepdim=True)
        self.left[:, place] = torch.where(sound, left, 0.0)
        self.right[:, place] = torch.where(sound, right, 0.0)
        self.live[:, place] = sound[:, 0].to(z.dtype)

    def _pair(self, step: Tensor, difference: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outer product to add, taken in part where the whole would be near singular."""
        mapped = self._times(self.left, self.right, difference)
        square, product = (step * step).sum(1, keepdim=True), (step * mapped).sum(1, keepdim=True)
        share = product / square
        least = torch.where(share < 0, -_LEAST, _LEAST)
        part = torch.where(share.abs() < _LEAST, (1 - least) / (1 - share), 1.0)
        left = part * (step - mapped) / ((1 - part) * square + part * product)
        return left, self._times(self.right, self.left, step)


@dataclass(frozen=True, kw_only=True)
class BroydenSolver(FixedPointSolver):
    r"""Learn the inverse Jacobian of `f(z) - z` from the steps taken, and take Newton's step with it.

    `z <- z - H g` with `g = f(z) - z`, `H = -damping I` at first, and after each step
    `H <- H + (s - H y) (s^T H) / (s^T H y)` with `s` and `y` the differences of `z` and `g`. A row whose
    update would be singular takes a part of it; one whose residual grows fivefold, or is not finite, forgets
    and takes a plain step. On linear maps it ends after twice as many steps as there are dimensions, if
    `history` is that long. It needs about as many evaluations as `AndersonSolver`, sometimes fewer, and costs
    `2 * history` copies of the state.

    Args:
        history: Steps after which it begins to learn anew.
        damping: Share of the step `f(z) - z` that is taken before anything is learnt, in (0, 1].
        tolerance: A row whose relative residual is at most this is frozen.
        absolute_tolerance: So is one whose absolute residual is at most this; 0 leaves it to `tolerance`.
        check_every: Steps between looks at the device for an early stop; 0 never looks.

    Example:
        >>> solution = BroydenSolver().solve(lambda z: 1 - 2 * z, torch.zeros(1, 1), 10)
        >>> round(solution.point.item(), 3), solution.converged.item()
        (0.333, True)

    Reference:
        Broyden, A class of methods for solving nonlinear simultaneous equations, 1965; More and Trangenstein,
        On the global convergence of Broyden's method, 1976; in equilibrium models arXiv:1909.01377.
    """

    history: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.history < 1:
            raise IncompatibleComponents(f"{self!r}: set solver history to at least 1")

    def proposer(self, z: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return a step that learns from the last `history` steps at most."""
        return _Inverse(self, z)

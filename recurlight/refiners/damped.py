"""Any refiner, damped: each update goes only part of the way, with noise and random starts where asked."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recurlight import draw
from recurlight.refiners.base import Refiner
from recurlight.spec.given import within

__all__ = ["DampedRefiner"]


class DampedRefiner(Refiner[Any]):
    """Each update of another refiner goes only part of the way from the old value of its level to the new.

    `level = (1 - damping) * level + damping * update(level) + noise * e`, with `e` standard normal

    The fixed points are those of the refiner itself, and a cycle that overshoots them settles. Damping counts
    in every update, also within a cycle; `damping` of a solver counts once a cycle, in the search alone. With
    noise and random starts it is the refiner of equilibrium reasoners, which trains attractors: points that
    are reached from anywhere, and that no small push leaves.

    Noise is drawn anew for every update, in evaluation too, from `eval_seed`. The cycle is no stationary map
    then, and fixed-point gradients refuse it. All numbers are drawn by `recurlight.draw`, slot by slot.

    Args:
        refiner: What is damped; levels, cells and state are its own.
        damping: Weight of the new value, in (0, 1]; EqR 0.95.
        noise: Standard deviation of the noise of each update, 0 for none; EqR 0.01.
        random_start: Standard deviation of the numbers, drawn for each sample, that replace the refiner's own
            start, 0 to keep it; EqR 1.

    Raises:
        IncompatibleComponents: A number is out of range.

    Example:
        >>> import torch
        >>> from recurlight import SingleRefiner, SingleState
        >>> refiner = DampedRefiner(SingleRefiner(nn.Identity()), damping=0.25)
        >>> state = SingleState(torch.full((1, 1, 1), 8.0))
        >>> refiner.update(state, torch.full((1, 1, 1), -8.0), "answer").answer.item()
        6.0

    Reference:
        Equilibrium reasoners (EqR, arXiv:2605.21488); damped solvers in FPRM (arXiv:2606.18206).
    """

    def __init__(
        self,
        refiner: Refiner,  # type: ignore[type-arg]  # the command line resolves plain classes only
        damping: float = 0.5,
        noise: float = 0.0,
        random_start: float = 0.0,
    ) -> None:
        super().__init__()
        within("DampedRefiner", "damping", damping, above=0, most=1)
        within("DampedRefiner", "noise", noise, 0)
        within("DampedRefiner", "random_start", random_start, 0)
        self.refiner, self.damping, self.noise, self.random_start = refiner, damping, noise, random_start
        self.stationary = refiner.stationary and not noise

    def adjusted(self) -> Refiner[Any]:
        """The refiner, or what that wraps: its counts may be changed through this one."""
        return self.refiner.adjusted()

    def cells(self) -> dict[str, nn.Module]:
        """The cells of the refiner."""
        return self.refiner.cells()

    def schedule(self) -> tuple[str, ...]:
        """The updates of the refiner."""
        return self.refiner.schedule()

    def initial_state(self, injection: Tensor) -> Any:
        """Start where the refiner does, or at numbers that each sample draws."""
        state = self.refiner.initial_state(injection)
        if not self.random_start:
            return state
        return type(state)(*(self._drawn(leaf) for leaf in state))

    def _drawn(self, leaf: Tensor) -> Tensor:
        return self.random_start * draw.normal(leaf) if leaf.is_floating_point() else leaf

    def update(self, state: Any, injection: Tensor, level: str) -> Any:
        """Apply the refiner's update, and go part of the way."""
        after = self.refiner.update(state, injection, level)
        new = getattr(after, level)
        if self.damping < 1:
            new = getattr(state, level).lerp(new, self.damping)
        if self.noise:
            new = new + self.noise * draw.normal(new)
        return after._replace(**{level: new})

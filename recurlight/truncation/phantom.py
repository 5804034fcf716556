"""The phantom gradient: a few damped cycles at the end of the segment carry gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from recurlight.errors import IncompatibleComponents
from recurlight.refiners.base import Refiner
from recurlight.spec.given import within
from recurlight.truncation.base import GradientTruncation
from recurlight.truncation.reach import require_gradient, require_stationary
from recurlight.types import StateT

__all__ = ["PhantomGradient", "blend"]


def blend(old: StateT, new: StateT, damping: float) -> StateT:
    """Return `(1 - damping) * old + damping * new`, field by field.

    Args:
        old: State of `(B, ...)` fields.
        new: State of the same shapes and dtypes.
        damping: Weight of `new`.
    """
    if damping == 1.0:
        return new  # exactly, also where `old` is not finite
    blended: StateT = tree_map(lambda a, b: (1 - damping) * a + damping * b, old, new)
    return blended


@dataclass(frozen=True)
class PhantomGradient(GradientTruncation):
    """Approximate the implicit gradient by a few damped cycles near the fixed point.

    The segment applies `cycles - steps` plain cycles without gradient, then `steps` times with gradient
    `z <- (1 - damping) * z + damping * cycle(z)`: `cycles` evaluations in all. Evaluation applies the same
    map.

    Use it where `ImplicitGradient` is too costly or its backward solve does not converge; with `damping=1`
    it equals `LastCycles(steps)`.

    Args:
        steps: Damped cycles with gradient, from 1 to `cycles`; memory grows with it.
        damping: In (0, 1]; smaller is smoother and needs more steps.

    Example:
        >>> PhantomGradient(steps=3).damping
        0.5

    Reference:
        Geng et al., On training implicit models, arXiv:2111.05177.
    """

    steps: int = 5
    damping: float = 0.5

    def check(self, refiner: Refiner[Any], cycles: int) -> None:
        """Refuse cycles without a fixed point, and steps or damping out of range."""
        require_stationary(refiner, self)
        if not 0 < self.damping <= 1:
            raise IncompatibleComponents(
                f"{self!r} cannot damp: set truncation damping above 0, to at most 1"
            )
        if not 1 <= self.steps <= cycles:
            raise IncompatibleComponents(
                f"{self!r} does not fit cycles={cycles}: set truncation steps to at most cycles, at least 1"
            )
        updates = refiner.schedule() * self.steps
        require_gradient(refiner, updates, (True,) * len(updates), self)

    def run(self, refiner: Refiner[StateT], state: StateT, injection: Tensor, cycles: int) -> StateT:
        """Apply plain cycles without gradient, then damped cycles in the caller's mode."""
        within(f"{type(self).__name__}.run", "cycles", cycles, 1)
        steps = min(self.steps, cycles)
        with torch.no_grad():
            for _ in range(cycles - steps):
                state = refiner.cycle(state, injection)
        for _ in range(steps):
            state = blend(state, refiner.cycle(state, injection), self.damping)
        return state

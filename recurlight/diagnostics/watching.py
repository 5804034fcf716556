"""A refiner that is watched while it works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from recurlight.refiners.base import Refiner

__all__ = ["Watched"]


class Watched(Refiner[Any]):
    """A refiner that does what another does, and tells of every update; see `lent`.

    Where a solver looks for a fixed point, that is every update of each point it tries.

    Args:
        inner: Does the work.
        note: Called after each update with the state before it, the state after it, the injection and the
            level that it wrote.
    """

    def __init__(self, inner: Refiner[Any], note: Callable[[Any, Any, Tensor, str], None]) -> None:
        super().__init__()
        self.inner, self.note = inner, note

    def cells(self) -> dict[str, nn.Module]:
        """Return the other's cells."""
        return self.inner.cells()

    def schedule(self) -> tuple[str, ...]:
        """Return the other's schedule."""
        return self.inner.schedule()

    def initial_state(self, injection: Tensor) -> Any:
        """Return the other's first state."""
        return self.inner.initial_state(injection)

    def update(self, state: Any, injection: Tensor, level: str) -> Any:
        """Update as the other does, and tell."""
        after = self.inner.update(state, injection, level)
        self.note(state, after, injection, level)
        return after

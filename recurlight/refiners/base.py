"""The refiner contract: one cycle of named updates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic

import torch
from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.numerics import truncated_normal
from recurlight.spec import Recorded
from recurlight.types import Sized, Sizes, StateT

__all__ = ["Refiner", "StartVector"]


class Refiner(Recorded, nn.Module, ABC, Generic[StateT]):
    """How the latent state is refined: one cycle is a fixed sequence of updates, each of one level.

    The state is a `NamedTuple` of batch-first tensors with a field `answer`; a *level* is the name of a
    field. Write four short methods; resetting, detaching, refilling, halting and truncating gradients
    happen elsewhere. Use `SingleRefiner` or `TwoLevelRefiner` where they fit.
    """

    stationary: bool = True
    """The cycle is the same map every time; False for refiners with noise or step embeddings."""

    adjustable: ClassVar[tuple[str, ...]] = ()
    """Counts of its constructor that `Recursion.reconfigure` may change: attributes that `schedule` reads."""

    def adjusted(self) -> Refiner[Any]:
        """Return the refiner whose `adjustable` counts: itself, or the one that it wraps."""
        return self

    @abstractmethod
    def cells(self) -> dict[str, nn.Module]:
        """Map each level to the network that updates it; two levels may share one."""

    @abstractmethod
    def schedule(self) -> tuple[str, ...]:
        """Name the levels that one cycle updates, in order."""

    @abstractmethod
    def initial_state(self, injection: Tensor) -> StateT:
        """Make the state of a fresh sample.

        Args:
            injection: Encoded question, `(B, N, D)`.

        Returns:
            State with `(B, ...)` fields in the injection's dtype.
        """

    @abstractmethod
    def update(self, state: StateT, injection: Tensor, level: str) -> StateT:
        """Apply one cell to one level.

        Args:
            state: Current state.
            injection: Encoded question, `(B, N, D)`.
            level: Field to replace; every other field is passed on untouched.

        Returns:
            State of the same shapes and dtypes. Rows never see each other.
        """

    def cell_of(self, level: str) -> nn.Module:
        """Return the network that updates a level.

        Raises:
            IncompatibleComponents: There is no such level.
        """
        cells = self.cells()
        if level not in cells:
            raise IncompatibleComponents(
                f"{type(self).__name__} has no level {level!r}: give one of {', '.join(map(repr, cells))}"
            )
        return cells[level]

    def cycle(self, state: StateT, injection: Tensor) -> StateT:
        """Apply the updates of one cycle."""
        for level in self.schedule():
            state = self.update(state, injection, level)
        return state


class StartVector(Sized):
    """A fixed vector where every position of a level starts; standard normal cut at two sigma, not trained.

    Reference:
        `H_init` and `L_init` of the HRM and TRM code (arXiv:2506.21734, arXiv:2510.04871).
    """

    vector: Tensor

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Draw the vector, `(D,)`."""
        self.register_buffer("vector", truncated_normal(sizes.width, std=1.0, generator=generator))

    def forward(self, injection: Tensor) -> Tensor:
        """Broadcast the vector to the shape `(B, N, D)` and dtype of the injection."""
        if self.sizes is None or injection.shape[-1] != len(self.vector):
            self.expect_states(injection)
        return self.vector.to(injection.dtype).expand_as(injection)

"""Gradient windows: a strategy is only a mask over the named updates of a segment."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurlight.errors import IncompatibleComponents, suggestion
from recurlight.refiners.base import Refiner
from recurlight.spec.given import within
from recurlight.truncation.base import GradientTruncation
from recurlight.truncation.reach import require_gradient
from recurlight.types import StateT

__all__ = ["EveryUpdate", "GradientWindow", "LastCycles", "LastPerLevel", "LastUpdates"]


class GradientWindow(GradientTruncation):
    """Choose for every update of a segment whether it carries gradient.

    Write one method, `mask`. Where it is False the update runs under `torch.no_grad()`; where it is True
    the update runs in the mode of the caller, so that nothing is recorded during evaluation.
    """

    @abstractmethod
    def mask(self, schedule: tuple[str, ...], cycles: int) -> tuple[bool, ...]:
        """Tell for each update of a segment, in order, whether it carries gradient.

        Args:
            schedule: Levels updated in one cycle.
            cycles: Number of cycles, at least 1.

        Returns:
            `len(schedule) * cycles` flags.

        Raises:
            IncompatibleComponents: The window does not fit into the segment.
        """

    def check(self, refiner: Refiner[Any], cycles: int) -> None:
        """Refuse windows that do not fit the segment or leave a cell without gradient."""
        schedule = refiner.schedule()
        mask = self.mask(schedule, cycles)
        if len(mask) != len(schedule) * cycles:
            raise IncompatibleComponents(
                f"{self!r} returned {len(mask)} flags for {len(schedule) * cycles} updates: "
                f"make {type(self).__name__}.mask return len(schedule) * cycles flags"
            )
        require_gradient(refiner, schedule * cycles, mask, self)

    def run(self, refiner: Refiner[StateT], state: StateT, injection: Tensor, cycles: int) -> StateT:
        """Apply the segment's updates, those outside the window without gradient."""
        within(f"{type(self).__name__}.run", "cycles", cycles, 1)
        updates = refiner.schedule() * cycles
        enabled = torch.is_grad_enabled()
        # Evaluation may use fewer cycles than the window is long, so it never looks at the mask.
        mask = self.mask(refiner.schedule(), cycles) if enabled else (False,) * len(updates)
        for level, recorded in zip(updates, mask, strict=True):
            with torch.set_grad_enabled(enabled and recorded):
                state = refiner.update(state, injection, level)
        return state


def _require_fit(setting: str, count: int, most: int, unit: str) -> None:
    """Refuse a window shorter than one or longer than the segment."""
    if count < 1:
        raise IncompatibleComponents(f"{setting} is not a window: set truncation {unit} to at least 1")
    if count > most:
        raise IncompatibleComponents(
            f"{setting} is longer than the segment: set truncation {unit} to at most {most}, or raise cycles"
        )


def _last(count: int, total: int) -> tuple[bool, ...]:
    """Return `total` flags whose last `count` are True."""
    return (False,) * (total - count) + (True,) * count


@dataclass(frozen=True)
class EveryUpdate(GradientWindow):
    """Carry gradient through every update of the segment: back-propagation through time.

    Memory grows with `cycles * len(schedule)`. Exact within the segment; use `LastCycles` where it does not
    fit, `ImplicitGradient` where the cycles converge.

    Example:
        >>> EveryUpdate().mask(("latent", "answer"), cycles=2)
        (True, True, True, True)

    Reference:
        Universal Transformers, arXiv:1807.03819.
    """

    def mask(self, schedule: tuple[str, ...], cycles: int) -> tuple[bool, ...]:
        """Return True for every update."""
        return (True,) * (len(schedule) * cycles)


@dataclass(frozen=True)
class LastUpdates(GradientWindow):
    """Carry gradient through the last `count` updates of the segment, wherever a cycle begins.

    With one latent and one answer update (`count=2`) this is the one-step gradient approximation of HRM; it
    has constant memory. `LastCycles` trains better when its memory fits.

    Args:
        count: Updates with gradient, from 1 to `cycles * len(schedule)`.

    Example:
        >>> LastUpdates(2).mask(("latent", "latent", "answer"), cycles=2)
        (False, False, False, False, True, True)

    Reference:
        Hierarchical reasoning model, arXiv:2506.21734.
    """

    count: int = 2

    def mask(self, schedule: tuple[str, ...], cycles: int) -> tuple[bool, ...]:
        """Return True for the last `count` updates."""
        total = len(schedule) * cycles
        _require_fit(repr(self), self.count, total, "LastUpdates(count=...)")
        return _last(self.count, total)


@dataclass(frozen=True)
class LastCycles(GradientWindow):
    """Carry gradient through all updates of the last `count` cycles.

    The choice of TRM: memory grows with `count * len(schedule)`, not with the number of cycles. Use
    `LastUpdates` to cut inside a cycle, `EveryUpdate` for all cycles.

    Args:
        count: Cycles with gradient, from 1 to `cycles`.

    Example:
        >>> LastCycles(1).mask(("latent", "latent", "answer"), cycles=2)
        (False, False, False, True, True, True)

    Reference:
        Tiny recursive model, arXiv:2510.04871.
    """

    count: int = 1

    def mask(self, schedule: tuple[str, ...], cycles: int) -> tuple[bool, ...]:
        """Return True for the updates of the last `count` cycles."""
        _require_fit(repr(self), self.count, cycles, "LastCycles(count=...)")
        return _last(self.count * len(schedule), cycles * len(schedule))


@dataclass(frozen=True)
class LastPerLevel(GradientWindow):
    """Give each level its own budget: the last `counts[level]` updates of that level carry gradient.

    The mask may have holes. Levels without a budget carry no gradient. Use `LastUpdates` where one budget
    for all levels will do.

    Args:
        counts: Updates with gradient for each level, from 1 to that level's updates in the segment.

    Example:
        >>> LastPerLevel({"latent": 1, "answer": 2}).mask(("latent", "latent", "answer"), cycles=2)
        (False, False, True, False, True, True)

    Reference:
        HRM-Text, arXiv:2605.20613.
    """

    counts: dict[str, int]

    def __hash__(self) -> int:
        return hash(frozenset(self.counts.items()))

    def mask(self, schedule: tuple[str, ...], cycles: int) -> tuple[bool, ...]:
        """Return True for the last updates of each level."""
        for level, count in self.counts.items():
            self._require_level(level, schedule)
            setting = f"LastPerLevel(counts={{{level!r}: ...}})"
            _require_fit(repr(self), count, schedule.count(level) * cycles, setting)
        flags: list[bool] = []
        left = dict(self.counts)
        for level in reversed(schedule * cycles):
            flags.append(left.get(level, 0) > 0)
            left[level] = left.get(level, 0) - 1
        return tuple(reversed(flags))

    @staticmethod
    def _require_level(level: str, schedule: tuple[str, ...]) -> None:
        if level not in schedule:
            known = ", ".join(repr(name) for name in dict.fromkeys(schedule))
            raise IncompatibleComponents(
                f"LastPerLevel names the level {level!r}, which no update writes: "
                f"set counts for {known}{suggestion(level, schedule)}"
            )

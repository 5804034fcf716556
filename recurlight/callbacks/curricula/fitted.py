"""A window that is as long as there is room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recurlight.errors import IncompatibleComponents
from recurlight.recursion.driver import Recursion
from recurlight.truncation.window import GradientWindow

__all__ = ["FittedWindow", "fitted"]

_DOUBLINGS = 16
"""How often a segment is doubled for a window to fit; one that does not then names an unknown level, say."""


@dataclass(frozen=True)
class FittedWindow(GradientWindow):
    """The end of a window that is longer than the segment; the window itself where it fits.

    Args:
        window: What is wanted.

    Example:
        >>> from recurlight import LastUpdates
        >>> FittedWindow(LastUpdates(8)).mask(("answer",), cycles=3)
        (True, True, True)
    """

    window: GradientWindow

    def mask(self, schedule: tuple[str, ...], cycles: int) -> tuple[bool, ...]:
        """Return the flags of the last updates of a segment in which the window fits."""
        for doublings in range(_DOUBLINGS):
            try:
                return self.window.mask(schedule, cycles << doublings)[-len(schedule) * cycles :]
            except IncompatibleComponents as error:
                refused = error
        raise refused


def fitted(recursion: Recursion, change: dict[str, Any]) -> dict[str, Any]:
    """Add a window that fits to a change of the composition that changes the segment's length.

    Args:
        recursion: Driver, as changed for now by others.
        change: Arguments of `Recursion.reconfigure`.
    """
    wanted, stated = recursion.composition() | change, recursion.stated
    window = wanted["truncation"]
    if isinstance(window, FittedWindow) or not isinstance(window, GradientWindow):
        return change
    if all(wanted[name] == stated[name] for name in ("cycles", *recursion.refiner.adjusted().adjustable)):
        return change  # a window that does not fit there is a mistake
    return change | {"truncation": FittedWindow(window)}

"""What a run says beside how its model was made: callbacks that count, and what was changed for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn

from recurlight.recursion.driver import Recursion
from recurlight.spec import Recorded, describe, to_spec

__all__ = ["StatedCallback", "changed_since", "solver_figures", "spelled", "stated_callbacks"]


class StatedCallback(Recorded, Callback):
    """A callback on which figures depend: checkpoints and fingerprints say its class and its settings."""

    settings: ClassVar[tuple[str, ...]] = ()
    """What of the composition it changes in training, by the names of `Recursion.reconfigure`."""


def solver_figures(trainer: Any, recursion: Recursion) -> tuple[str, ...]:
    """Return the names of what the truncation logs in training: none where a callback trains with others."""
    callbacks = (one for one in trainer.callbacks if isinstance(one, StatedCallback))
    replaced = any("truncation" in callback.settings for callback in callbacks)
    return () if replaced else recursion.truncation.figures()


def stated_callbacks(trainer: Any) -> dict[str, dict[str, Any]]:
    """Return the settings of those callbacks of a trainer that are to be stated, by class."""
    return {
        type(callback).__name__: _plain(describe(callback).arguments)
        for callback in trainer.callbacks
        if isinstance(callback, StatedCallback)
    }


def _plain(value: Any) -> Any:
    """Write tuples as the lists that files have for them, so that the same settings are equal."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def spelled(callbacks: Mapping[str, Mapping[str, Any]]) -> str:
    """Write callbacks with their settings in one line.

    Example:
        >>> spelled({"RandomDepth": {"mean": 8.0}}), spelled({})
        ('RandomDepth(mean=8.0)', 'no curriculum')
    """
    lines = (
        f"{name}({', '.join(f'{setting}={value!r}' for setting, value in settings.items())})"
        for name, settings in callbacks.items()
    )
    return " and ".join(lines) or "no curriculum"


def changed_since(
    made: Mapping[str, Any], recursion: Recursion, given: Mapping[str, Any], own: str | None
) -> dict[str, Any]:
    """Return the arguments of a model that `Recursion.reconfigure` has changed, for good, since it was made.

    Args:
        made: Composition with which it was made.
        recursion: Driver that was changed.
        given: Arguments of the model as plain data.
        own: Name of its class, where that may give a name another meaning; what cannot be told then is warned
            of.
    """
    now, refiner = recursion.stated, recursion.refiner.adjusted()
    changed = {name: value for name, value in now.items() if value != made[name]}
    adjusted = {name: changed.pop(name) for name in refiner.adjustable if name in changed}
    renamed = [name for name in changed if own and given.get(name) != to_spec(made[name])]
    lost = {name: changed.pop(name) for name in renamed}
    if adjusted:  # the refiner says now that it was made so, if its class can say it
        said = describe(refiner).arguments
        lost |= {name: value for name, value in adjusted.items() if said.get(name) != value}
        if "refiner" in given:
            changed["refiner"] = recursion.refiner
        else:
            lost |= adjusted
    for name, value in lost.items():
        who = own if name in renamed else type(refiner).__name__
        rank_zero_warn(f"{who} sets {name} itself: checkpoints do not hold that {name} is {value} now")
    return changed

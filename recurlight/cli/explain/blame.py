"""Which setting made a library refuse a value, the making of an object, or the beginning of the run."""

from __future__ import annotations

import re
from argparse import ArgumentError
from collections.abc import Callable, Collection, Mapping
from traceback import walk_tb
from types import FrameType

from recurlight.cli.explain.check import Path, UsageError
from recurlight.cli.explain.types import settings

__all__ = ["blame"]

LIBRARIES = ("jsonargparse", "lightning", "lightning_utilities", "torch", "torchmetrics")
COMMAND_LINE = "recurlight.cli"
NOISE = ("Given value", "Expected a <class", "Parser key")
SECTIONS = (("model",), ("trainer",))
"""Where a class stands that no configuration names."""


def blame(
    error: Exception, places: Mapping[type, Path], own: Collection[str], is_set: Callable[[Path], bool]
) -> UsageError | None:
    """Find what a library refuses, and why; None for errors of recurlight's own code or of the user's.

    Args:
        error: What parsing, making the run's objects, or beginning it, has raised.
        places: Where the configuration names its classes.
        own: Packages whose classes it names: errors in them are nobody else's.
        is_set: Returns whether the user has set a key, or something below it.
    """
    if isinstance(error, ArgumentError):
        return _unparsed(str(error))
    frames = _frames(error)
    # jsonargparse wraps what a constructor raises; the cause knows what happened, both together know where.
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
        frames = [*_frames(error), *frames]
    if not frames or not _is_refusal(frames, own):
        return None
    text = _reason(error)
    place, kind = _place(frames, places)
    if kind is None:
        return UsageError(place, text)
    # Lightning's messages name the argument: the first of those that the user has set
    keys = [(*place, word) for word in re.findall(r"\w+", text) if word in settings(kind)]
    named = kind.__name__ in text or len(place) == 1
    return UsageError(next(filter(is_set, keys), place), text if named else f"{kind.__name__}: {text}")


def _unparsed(message: str) -> UsageError:
    """Show the last telling line of jsonargparse, which parses what `Check` cannot judge."""
    keys = [key for key in re.findall(r'Parser key "([^"]+)"', message) if key != "config"]
    lines = [line.strip(" -").partition(". Got value: ")[0] for line in message.splitlines()]
    telling = [line for line in lines if not line.startswith(NOISE)] or lines
    return UsageError(tuple(".".join(keys).split(".")) if keys else (), telling[-1])


def _is_refusal(frames: list[FrameType], own: Collection[str]) -> bool:
    """Return whether the command line called libraries, and nothing else, when the error arose."""
    names = [str(frame.f_globals.get("__name__", "")) for frame in frames]
    judged = {"recurlight", *own} - {*LIBRARIES}
    ours = (name for name in names if name.partition(".")[0] in judged)
    return next(ours, "").startswith(COMMAND_LINE) and not names[0].startswith("recurlight")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _frames(error: Exception) -> list[FrameType]:
    """Return the frames that an error has passed, the innermost first."""
    return [frame for frame, _ in walk_tb(error.__traceback__)][::-1]


def _place(frames: list[FrameType], places: Mapping[type, Path]) -> tuple[Path, type | None]:
    """Return the innermost object that the configuration asks for: its path and class."""
    sections = {kind: place for kind, place in places.items() if place in SECTIONS}
    kinds = [(frame.f_code.co_name, type(frame.f_locals.get("self"))) for frame in frames]
    named = (kind for _, kind in kinds if kind in places and kind not in sections)
    made = (kind for name, kind in kinds if name == "__init__" and kind in sections)
    trainer = (kind for kind, place in sections.items() if place == ("trainer",))
    found = next((kind for kinds in (named, made, trainer) for kind in kinds), None)
    return (places[found], found) if found else ((), None)

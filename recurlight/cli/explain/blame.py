"""Which setting made a library refuse to make an object of the run, or to begin it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import FrameType
from typing import Any, NamedTuple

from recurlight.cli.explain.lookup import class_at, parameter_names
from recurlight.cli.explain.message import one_line, take_apart

__all__ = ["Run", "blame"]

LIBRARIES = ("jsonargparse", "lightning", "lightning_utilities", "torch", "torchmetrics")
COMMAND_LINE = "recurlight.cli"


class Run(NamedTuple):
    """What a command line asks for."""

    config: dict[str, Any]
    """The configuration as plain data."""
    sections: Mapping[str, type]
    """Classes of its sections that name none."""
    own: Collection[str]
    """Packages whose classes it names: errors in them are nobody else's."""
    is_set: Callable[[str], bool]
    """Whether the user has set a key, or something below it."""


def blame(error: Exception, run: Run) -> tuple[str, str] | None:
    """Find what a library refuses, and why; None for errors of recurlight's own code or of the user's.

    Args:
        error: What making the run's objects, or beginning it, has raised.
        run: What was asked for.

    Returns:
        Dotted path of the setting or the class, and the reason.
    """
    frames = _frames(error)
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
        frames = [*_frames(error), *frames]
    if not frames or not _is_refusal(frames, run.own):
        return None
    text = _reason(error)
    place, kind = _place(frames, run)
    if kind is None:
        return place, text
    # Lightning's messages name the argument: the first of those that the user has set
    words = re.findall(r"\w+", text)
    keys = [f"{place}.{word}" for word in words if word in parameter_names(kind)]
    found = next(filter(run.is_set, keys), place)
    named = kind.__name__ in text or place in run.sections
    return found, text if named else f"{kind.__name__}: {text}"


def _is_refusal(frames: list[FrameType], own: Collection[str]) -> bool:
    """Return whether the command line called libraries, and nothing else, when the error arose."""
    names = (str(frame.f_globals.get("__name__", "")) for frame in frames)
    others = (name for name in names if _root(name) == "recurlight" or _root(name) in own)
    ours = next(others, "")
    return ours.startswith(COMMAND_LINE) and _root(str(frames[0].f_globals.get("__name__"))) != "recurlight"


def _root(module: str) -> str:
    root = module.partition(".")[0]
    return "" if root in LIBRARIES else root


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    text = str(error) or type(error).__name__
    return one_line((take_apart(text).reasons or [text])[0])


def _frames(error: Exception) -> list[FrameType]:
    """Return the frames that an error has passed, the innermost first."""
    found: list[FrameType] = []
    trace = error.__traceback__
    while trace is not None:
        found.insert(0, trace.tb_frame)
        trace = trace.tb_next
    return found


def _place(frames: list[FrameType], run: Run) -> tuple[str, type | None]:
    """Return the innermost object that the configuration asks for: its dotted path and class."""
    kinds = [(frame, type(frame.f_locals.get("self"))) for frame in frames]
    for _, kind in kinds:
        for path in _named(run.config, kind, ""):
            return path, kind
    made = (kind for frame, kind in kinds if frame.f_code.co_name == "__init__")
    sections = {kind: name for name, kind in run.sections.items()}
    found = next((kind for kind in made if kind in sections), run.sections.get("trainer"))
    return (sections[found], found) if found else ("", None)


def _named(node: Any, kind: type, path: str) -> Iterator[str]:
    """Iterate over the dotted paths at which a configuration asks for a class."""
    if isinstance(node, list):
        for item in node:
            yield from _named(item, kind, path)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("class_path"), str) and class_at(node["class_path"]) is kind:
        yield path
    for name, inner in node.items():
        yield from _named(inner, kind, path if name == "init_args" else f"{path}.{name}".lstrip("."))

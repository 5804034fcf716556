"""Which setting made a library refuse to make an object of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from recurlight.cli.lookup import class_at
from recurlight.cli.message import one_line, take_apart

__all__ = ["blame"]

LIBRARIES = ("jsonargparse", "lightning", "lightning_utilities", "torch", "torchmetrics")


def blame(error: Exception, config: dict[str, Any], sections: Mapping[str, type]) -> tuple[str, str] | None:
    """Find the class that could not be made, and why; None for errors that no library has raised.

    Args:
        error: What the making of the run's objects has raised.
        config: The configuration as plain data.
        sections: Classes of its sections that name none.

    Returns:
        Dotted path of the class, and the reason.
    """
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    frames = _frames(error)
    if not frames or frames[0].f_globals.get("__name__", "").partition(".")[0] not in LIBRARIES:
        return None
    text = one_line((take_apart(str(error)).reasons or [str(error)])[0])
    makers = [frame.f_locals.get("self") for frame in frames if frame.f_code.co_name == "__init__"]
    places = (place for made in makers for place in _places(config, type(made), sections))
    return next(places, ""), text


def _frames(error: Exception) -> list[FrameType]:
    """Return the frames that an error has passed, the innermost first."""
    found: list[FrameType] = []
    trace = error.__traceback__
    while trace is not None:
        found.insert(0, trace.tb_frame)
        trace = trace.tb_next
    return found


def _places(config: dict[str, Any], kind: type, sections: Mapping[str, type]) -> Iterator[str]:
    """Iterate over the dotted paths at which a configuration asks for a class."""
    for name, section in sections.items():
        if kind is section:
            yield name
    yield from _named(config, kind, "")


def _named(node: Any, kind: type, path: str) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _named(item, kind, path)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("class_path"), str) and class_at(node["class_path"]) is kind:
        yield path
    for name, inner in node.items():
        yield from _named(inner, kind, path if name == "init_args" else f"{path}.{name}".lstrip("."))

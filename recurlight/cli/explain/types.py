"""What classes take in a configuration, where text stands for them: their settings, and which classes fit."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from types import NoneType
from typing import Any, Literal, Protocol, get_args, get_origin

from jsonargparse import ArgumentParser
from torch import nn

import recurlight
from recurlight.checkpoints.plugins import offered_names
from recurlight.errors import suggestion
from recurlight.spec import names
from recurlight.spec.annotations import PLAIN, holds
from recurlight.spec.names import Setting, products, takes_any

__all__ = ["import_parts"]
__all__ += [
    "REQUIRED",
    "accepted",
    "bases",
    "fits",
    "known",
    "offer",
    "offered",
    "settings",
    "subclasses",
    "taken",
]

REQUIRED = inspect.Parameter.empty
"""Default of settings that have none."""

PLUGGABLE = (
    "callbacks", "cells", "codec", "data", "halting", "language", "losses", "optim",
    "refiners", "search", "truncation",
)  # fmt: skip
"""Parts of the package whose classes a configuration may call by their bare names once they are imported."""

MANY = 12
"""Names listed in a message at most."""


def import_parts() -> None:
    """Import the classes that a configuration may call by their bare names."""
    for part in PLUGGABLE:
        home = importlib.import_module(f"recurlight.{part}")
        for name in home.__all__:  # of which some load on first use
            getattr(home, name)


def settings(made: Callable[..., Any]) -> dict[str, Setting]:
    """Return the settings of a class or function; those that a class passes on, `**settings`, are its bases'.

    Example:
        >>> from recurlight import LastCycles
        >>> settings(LastCycles)
        {'count': Setting(hint=<class 'int'>, default=1)}
    """
    found: dict[str, Setting] = {}
    first, *others = names.levels(made)
    for level in (first, *others):
        for name, setting in names.settings(level).items():
            # What a base needs, its subclass may give it.
            given = setting.default is REQUIRED and level is not first
            found.setdefault(name, setting._replace(default=...) if given else setting)
    for field in dataclasses.fields(made) if dataclasses.is_dataclass(made) else ():
        if field.default_factory is not dataclasses.MISSING and field.name in found:
            found[field.name] = Setting(found[field.name].hint, field.default_factory)
    return found


def accepted(kind: type) -> list[str]:
    """Return the names of all settings of a class; jsonargparse reads in its source where it passes them on.

    Example:
        >>> from recurlight import LastCycles
        >>> accepted(LastCycles)
        ['count']
    """
    names: list[str] = ArgumentParser(exit_on_error=False).add_class_arguments(kind, fail_untyped=False)
    return names


def taken(kind: type) -> dict[str, Setting]:
    """Return the settings of a class, without those that one of the user's sets itself in those of its bases.

    Example:
        >>> from recurlight import LastCycles
        >>> taken(LastCycles)
        {'count': Setting(hint=<class 'int'>, default=1)}
    """
    found, own = settings(kind), kind.__module__.partition(".")[0] not in ("recurlight", "torch", "lightning")
    names = accepted(kind) if own and takes_any(kind) else [*found]
    return {name: setting for name, setting in found.items() if name in names}


def bases(hint: Any) -> list[type]:
    """Return the classes of which a setting takes a subclass by its name, itself or to make objects from it.

    Classes of Python itself, such as paths and numbers, are written as text; protocols are not judged here.
    """
    kinds = (kind for kind in products(hint) or [get_origin(hint) or hint] if isinstance(kind, type))
    named = (kind for kind in kinds if not issubclass(kind, Enum) and Protocol not in kind.__mro__)
    return [kind for kind in named if kind.__module__.partition(".")[0] not in sys.stdlib_module_names]


def fits(value: Any, hint: Any) -> bool:
    """Return whether plain data may be of a type that is no union; what text stands for fits.

    Example:
        >>> fits(1, float), fits(True, int), fits("a", Literal["b"]), fits({}, list[int])
        (True, False, False, False)
    """
    if value is None or hint is NoneType:
        return value is None and hint in (Any, NoneType)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint in PLAIN:
        return type(value) is hint or (hint is float and type(value) is int)
    return not (bases(hint) or holds(hint))


def subclasses(*kinds: type) -> Iterator[type]:
    """Iterate over classes and those that derive from them; one that derives twice comes twice."""
    for kind in kinds:
        yield kind
        yield from subclasses(*type.__subclasses__(kind))


def known(name: str, kinds: list[type]) -> str:
    """Suggest the class that was meant, or list those that there are: public and not abstract, ours first."""
    names = {kind.__name__ for base in kinds for kind in offered(base)}
    ours = names & set(recurlight.__all__)
    listed = offer("", [*sorted(ours), *sorted(names - ours)])
    return suggestion(name, [*names, *offered_names()]) or listed if name else listed


def offered(base: type) -> set[type]:
    """Return the classes of a kind that a configuration may choose among."""
    return {kind for kind in subclasses(base) if _offered(kind, base)}


def _offered(kind: type, base: type) -> bool:
    """Leave out what is a module too, but no cell or layer, where any module may stand."""
    other = kind.__module__.partition(".")[0] in ("recurlight", "lightning", "torchmetrics")
    fits = base is not nn.Module or not other or kind.__module__.startswith("recurlight.cells.")
    return fits and not inspect.isabstract(kind) and not kind.__name__.startswith("_")


def offer(name: str, names: list[str]) -> str:
    """Suggest the name that was meant, or list those that there are."""
    listed = ", ".join([*names[:MANY], *(["..."] if len(names) > MANY else [])])
    return suggestion(name, names) or (f"; known: {listed}" if names else "")

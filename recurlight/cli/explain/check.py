"""The configuration, plain data, against the signatures of what it names, before anything is made of it.

What cannot be judged here, because a hint is missing or a class takes any argument, is left to jsonargparse,
which parses the same configuration afterwards.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Union

from recurlight.cli.config import plain
from recurlight.cli.explain import types
from recurlight.cli.explain.types import REQUIRED, Setting, known
from recurlight.cli.merge import SPEC, as_spec
from recurlight.errors import RecurlightError
from recurlight.spec.names import takes_function

__all__ = ["Check", "Path", "UsageError"]

RECIPE = "name a recipe (--config NAME, see: recurlight recipes list) or set each"

Path = tuple[Any, ...]
"""Keys that lead to a setting; `init_args` and places in lists are left out."""


class UsageError(RecurlightError):
    """The command line or a configuration does not describe a run.

    No `ValueError`, which jsonargparse would catch and wrap once more.

    Args:
        path: The setting to blame, empty where no single one is.
        text: What is wrong, and what to type instead.
    """

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(f"{'.'.join(map(str, path))}: {text}" if path else text)
        self.path = path


@dataclasses.dataclass
class Check:
    """Goes through a configuration, and raises at the first setting that is wrong.

    Args:
        find: Imports what a dotted path names, if it may.
        linked: Settings that follow from others.
        inherited: Settings that a class takes over from the default in its place.

    Example:
        >>> from recurlight import LastCycles
        >>> check = Check(lambda path: None)
        >>> check.value({"count": "x"}, Setting(LastCycles), ("truncation",))
        Traceback (most recent call last):
        recurlight.cli.explain.check.UsageError: truncation.count: expected int, got 'x'
    """

    find: Callable[[str], Any]
    linked: Mapping[Path, str] = dataclasses.field(default_factory=dict)
    inherited: Mapping[Path, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    places: dict[type, Path] = dataclasses.field(default_factory=dict)
    """The classes met so far, and where the first of each stands."""
    missing: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    """Settings that are needed and not there, each with what to do about it."""

    def settings(
        self, made: type | str, taken: Mapping[str, Setting], given: Mapping[Any, Any], path: Path
    ) -> None:
        """Check the settings of a class, or of a command, that takes some.

        Raises:
            UsageError: One is unknown, or of the wrong type.
        """
        title = made if isinstance(made, str) else made.__name__
        for name, value in given.items():
            where = (*path, name)
            if where in self.linked:
                raise UsageError(where, f"this follows from {self.linked[where]}: leave it out")
            if name in taken:
                self.value(value, taken[name], where)
            elif name not in (names := [*taken] if isinstance(made, str) else types.accepted(made)):
                raise UsageError(where, f"{title} has no setting {name!r}{_meant(name, names)}")
        there = {*given, *self.inherited.get(path, ())}
        needed = (name for name in taken if taken[name].default is REQUIRED and name not in there)
        advice = f"{title} needs it" if len(path) > 1 or path == ("data",) else RECIPE
        places = ((*path, name) for name in needed)
        self.missing += [(".".join(place), advice) for place in places if place not in self.linked]

    def value(self, value: Any, setting: Setting, path: Path) -> None:
        """Check a value: one of its types must fit, or what it holds, or the class that it names.

        Raises:
            UsageError: None does.
        """
        hint = Union[setting.hint, None] if setting.default is None else setting.hint  # noqa: UP007
        options, parsed = types.alternatives(hint), plain(value)
        if _is_name(value) and "." in value and str not in options and takes_function(hint):
            self._imported(value, path)  # a function's module is imported as a class's is
        if any(types.fits(reading, option) for reading in (value, parsed) for option in options):
            return
        # A number that may be a tensor too is written as a number.
        bases = [] if {int, float} & {*options} else [b for option in options for b in types.bases(option)]
        held = types.contents(parsed, options)
        if bases and isinstance(parsed, (str, dict)):
            self.part(parsed, bases, setting, path)
        elif held is None:
            text = f"expected {types.readable(hint)}, got {_shown(value)}"
            raise UsageError(path, f"{text}{known('', bases)}")
        else:
            for item, inner in held:
                self.value(item, Setting(inner), path)

    def part(self, value: Any, bases: list[type], setting: Setting, path: Path) -> None:
        """Check a class and its settings.

        Raises:
            UsageError: It is unknown, not of the bases, or one of its settings is wrong.
        """
        spec = as_spec(value)
        for name in spec:
            if name not in SPEC:
                text = f"{name!r} stands beside class_path; its arguments belong under init_args"
                raise UsageError(path, text)
        given = spec.get("init_args")
        if not isinstance(given, dict | None):
            raise UsageError(path, f"init_args must hold settings, found {_shown(given)}")
        supplied = max(map(types.supplied, types.alternatives(setting.hint)))
        name = spec.get("class_path")
        implied = None if supplied else _implied(bases[0], setting.default)
        kind = implied if name is None else self._named(name, bases, path)
        if isinstance(kind, type):
            self.places.setdefault(kind, path)
            self.settings(kind, dict([*types.settings(kind).items()][supplied:]), given or {}, path)
        elif name is None:
            self.missing.append((".".join((*path, "class_path")), known("", bases).lstrip("; ")))

    def _named(self, name: Any, bases: list[type], path: Path) -> Any:
        """Return the class that is named; anything else where jsonargparse must judge."""
        base = bases[0].__name__
        if not _is_name(name):
            raise UsageError(path, f"{name!r} is no name of a class, such as LastCycles or mine.MyRefiner")
        if "." in name:
            found = [self._imported(name, path)]
        else:
            found = [*{kind for kind in types.subclasses(*bases) if kind.__name__ == name}]
        if not found:
            raise UsageError(path, f"{name!r} is not a known {base}{known(name, bases)}")
        if len(found) > 1 or not isinstance(found[0], type):
            return None
        if not issubclass(found[0], tuple(bases)):
            raise UsageError(path, f"{name} is no {base}{known('', bases)}")
        if inspect.isabstract(found[0]):
            text = f"{name!r} is abstract: choose a class, before any of its settings"
            raise UsageError(path, f"{text}{known('', bases)}")
        return found[0]

    def _imported(self, name: str, path: Path) -> Any:
        try:
            return self.find(name)
        except RecurlightError as error:
            raise UsageError(path, str(error)) from error

    def finish(self) -> None:
        """Check that nothing is missing.

        Raises:
            UsageError: Something is.
        """
        if self.missing:
            names, advice = zip(*self.missing, strict=True)
            raise UsageError((), f"missing: {', '.join(names)}; {RECIPE if RECIPE in advice else advice[0]}")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and all(part.isidentifier() for part in value.split("."))


def _implied(base: type, default: Any) -> type | None:
    """Return the class whose settings are given without its name, if there can be one."""
    kind = default if isinstance(default, type) else type(default)
    if issubclass(kind, base):
        return kind
    return base if types.settings(base) and not inspect.isabstract(base) else None


def _shown(value: Any) -> str:
    return {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))


def _meant(name: Any, names: list[str]) -> str:
    outer, dot, inner = str(name).partition(".")
    return f": write it as two levels, {outer}: and below it {inner}:" if dot else types.offer(outer, names)

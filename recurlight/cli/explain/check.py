"""The configuration, plain data, against the signatures of what it names, before anything is made of it.

What cannot be judged here, because a hint is missing or a class takes any argument, is left to jsonargparse,
which parses the same configuration afterwards.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any

from recurlight.checkpoints.plugins import offered_names
from recurlight.cli.config import plain
from recurlight.cli.explain import types
from recurlight.cli.explain.types import REQUIRED, known
from recurlight.cli.merge import SPEC, as_spec
from recurlight.errors import RecurlightError, suggestion
from recurlight.spec.annotations import alternatives, contents, wanted
from recurlight.spec.names import Setting, supplied, takes_function

__all__ = ["Check", "Path", "UsageError"]

ADVICE = "set each, or name a recipe that does (--config NAME, see: recurlight recipes list)"

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
        elsewhere: Settings that need not be set: they follow from the one that is named, and may not be set,
            or come with the default in their place.
        flags: What a command line takes beside settings.

    Example:
        >>> from recurlight import LastCycles
        >>> check = Check(lambda path: None)
        >>> check.value({"count": "x"}, Setting(LastCycles), ("truncation",))
        Traceback (most recent call last):
        recurlight.cli.explain.check.UsageError: truncation.count: expected a whole number, got 'x'
    """

    find: Callable[[str], Any]
    elsewhere: Mapping[Path, str] = dataclasses.field(default_factory=dict)
    flags: Sequence[str] = ()
    places: dict[type, Path] = dataclasses.field(default_factory=dict)
    """The classes met so far, and where the first of each stands."""
    missing: list[str] = dataclasses.field(default_factory=list)
    """Settings that are needed and not there."""

    def settings(
        self, made: type | str, taken: Mapping[str, Setting], given: Mapping[Any, Any], path: Path
    ) -> None:
        """Check the settings of a class, or of a command, that takes some.

        Raises:
            UsageError: One is unknown, or of the wrong type.
        """
        title = made if isinstance(made, str) else made.__name__
        # jsonargparse reads source to resolve `**settings`, which is slow: it is asked for odd names alone.
        for name, value in given.items():
            where = (*path, name)
            if self.elsewhere.get(where):
                raise UsageError(where, f"this follows from {self.elsewhere[where]}: leave it out")
            if name in taken:
                self.value(value, taken[name], where)
            elif name not in (names := [*taken] if isinstance(made, str) else types.accepted(made)):
                names += () if path else self.flags
                raise UsageError(where, f"{title} has no setting {name!r}{_meant(name, names, taken, given)}")
        needed = ((*path, name) for name in taken if taken[name].default is REQUIRED and name not in given)
        self.missing += [".".join(place) for place in needed if place not in self.elsewhere]

    def value(self, value: Any, setting: Setting, path: Path) -> None:
        """Check a value: one of its types must fit, or what it holds, or the class that it names.

        Raises:
            UsageError: None does.
        """
        options, parsed = alternatives(setting.hint), plain(value)
        options += [NoneType] if setting.default is None else []
        if isinstance(parsed, str) and "." in parsed and takes_function(setting.hint) and str not in options:
            self._imported(parsed, path)  # a function's module is imported as a class's is
        # Flags and quoted values are text until their type is known, so either reading will do.
        if any(types.fits(reading, option) for reading in (value, parsed) for option in options):
            return
        # A number that may be a tensor too is written as a number.
        bases = [] if {int, float} & {*options} else [b for option in options for b in types.bases(option)]
        held = [found for option in options if (found := contents(parsed, option)) is not None]
        if bases and isinstance(parsed, (str, dict)):
            self.part(parsed, bases, setting, path)
        elif not held:
            raise UsageError(path, f"expected {_expected(options)}, got {_shown(value)}{known('', bases)}")
        else:
            self.held(held, path)

    def held(self, readings: Sequence[Sequence[tuple[Any, Any]]], path: Path) -> None:
        """Check what a list or dictionary holds, which fits one of its types if all that it holds does.

        Raises:
            UsageError: None fits; what is wrong by the first of them.
        """
        wrong, missing = [], [*self.missing]
        for held in readings:
            try:
                for item, inner in held:
                    self.value(item, Setting(inner), path)
            except UsageError as error:
                wrong.append(error)
                self.missing[:] = missing
            else:
                return
        raise wrong[0]

    def part(self, value: Any, bases: list[type], setting: Setting, path: Path) -> None:
        """Check a class and its settings.

        Raises:
            UsageError: It is unknown, not of the bases, or one of its settings is wrong.
        """
        spec = as_spec(value)
        if beside := [name for name in spec if name not in SPEC]:
            text = f"{beside[0]!r} stands beside class_path; its arguments belong under init_args"
            raise UsageError(path, text)
        given = spec.get("init_args")
        if not isinstance(given, dict | None):
            raise UsageError(path, f"init_args must hold settings, found {_shown(given)}")
        name, by_caller = spec.get("class_path"), supplied(setting.hint)
        implied = None if by_caller else _implied(bases[0], setting.default)
        kind = implied if name is None else self.named(name, bases, path)
        if isinstance(kind, type):
            self.places.setdefault(kind, path)
            self.settings(kind, dict([*types.taken(kind).items()][by_caller:]), given or {}, path)
        elif name is None:
            raise UsageError((), f"missing: {'.'.join(path)}.class_path{known('', bases)}")

    def named(self, name: Any, bases: list[type], path: Path) -> Any:
        """Return the class that is named; anything else where jsonargparse must judge.

        Raises:
            UsageError: It is unknown, not of the bases, or abstract.
        """
        base = bases[0].__name__
        if isinstance(name, str) and "." in name:
            found = [self._imported(name, path)]
        else:
            found = [*{kind for kind in types.subclasses(*bases) if kind.__name__ == name}]
            if not found and name in offered_names():  # by a package, which is imported now
                found = [self._imported(name, path)]
        if not found:
            raise UsageError(path, f"{name!r} is not a known {base}{known(str(name), bases)}")
        if len(found) > 1 or not isinstance(found[0], type):  # two of one name, or a function that makes one
            return None
        if not issubclass(found[0], tuple(bases)):
            raise UsageError(path, f"{name} is no {base}{known('', bases)}")
        if inspect.isabstract(found[0]):
            raise UsageError(path, f"{name} is abstract{known('', bases)}")
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
            raise UsageError((), f"missing: {', '.join(self.missing)}; {ADVICE}")


def _implied(base: type, default: Any) -> type | None:
    """Return the class whose settings are given without its name, if there can be one."""
    kind = default if isinstance(default, type) else type(default)
    if issubclass(kind, base):
        return kind
    return base if types.settings(base) and not inspect.isabstract(base) else None


def _expected(options: list[Any]) -> str:
    named = ([base.__name__ for base in types.bases(option)] or [wanted(option)] for option in options)
    return " or ".join(dict.fromkeys(name for names in named for name in names)).replace("None", "null")


def _shown(value: Any) -> str:
    return {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))


def _meant(name: Any, names: list[str], taken: Mapping[str, Setting], given: Mapping[Any, Any]) -> str:
    """Say what was meant: another name, or a setting further inside."""
    outer, dot, inner = str(name).partition(".")
    if dot:
        return f": write it as two levels, {outer}: and below it {inner}:"
    if name == "_target_":  # of Hydra
        return "; a class is named by class_path, and its arguments stand under init_args"
    sections = (key for key in taken if isinstance(taken[key].hint, type))
    inside = {word: f"{key}.{word}" for key in sections for word in types.settings(taken[key].hint)}
    inside |= {path[-1]: ".".join(path) for path in _settings(given) if len(path) > 1}
    if name in inside:
        return suggestion(str(name), inside, shown=inside)
    near = suggestion(str(name), names) or suggestion(str(name), inside, 0.7, inside)
    return near or types.offer("", names)


def _settings(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Iterate over what plain data set, outside of lists."""
    for name, value in node.items() if isinstance(node, dict) else ():
        where = path if name in SPEC else (*path, str(name))
        yield from () if name in SPEC else [where]
        yield from _settings(value, where)

"""What constructors take: their settings, the classes that fit, and how a type reads."""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Protocol, Union, get_args, get_origin

from jsonargparse import ArgumentParser
from torch import nn

import recurlight
from recurlight.errors import suggestion
from recurlight.spec.names import VARIADIC, hints, parameters, products

__all__ = ["REQUIRED", "Setting", "accepted", "alternatives", "bases", "contents", "fits", "known", "offer"]
__all__ += ["readable", "settings", "subclasses", "supplied"]

REQUIRED = inspect.Parameter.empty
"""Default of settings that have none."""

MANY = 12
"""Names listed in a message at most."""

LISTS = (list, tuple, set, frozenset, abc.Iterable, abc.Sequence, abc.Collection)
MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)
PLAIN = (bool, int, float, str)


class Setting(NamedTuple):
    """A constructor's argument."""

    hint: Any
    default: Any = REQUIRED


def settings(made: Callable[..., Any]) -> dict[str, Setting]:
    """Return the settings of a class or function, as far as signatures tell.

    Arguments that a class passes on, `**settings`, are those of its bases.

    Example:
        >>> settings(int.from_bytes)["signed"]
        Setting(hint=typing.Any, default=False)
    """
    found: dict[str, Setting] = {}
    levels = [kind for kind in made.__mro__ if "__init__" in vars(kind)] if isinstance(made, type) else [made]
    for level in levels:
        types, own = hints(level), parameters(level)
        for name, parameter in own.items():
            # What a base needs, its subclass may give it.
            given = parameter.default is REQUIRED and level is not levels[0]
            if parameter.kind not in VARIADIC:
                found.setdefault(name, Setting(types.get(name, Any), ... if given else parameter.default))
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in own.values()):
            break
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


def alternatives(hint: Any) -> list[Any]:
    """Return the members of a union, or the one type that there is.

    Example:
        >>> alternatives(int | None)
        [<class 'int'>, <class 'NoneType'>]
    """
    if get_origin(hint) in (Union, UnionType):
        return [inner for part in get_args(hint) for inner in alternatives(part)]
    return [hint]


def bases(hint: Any) -> list[type]:
    """Return the classes of which a setting takes a subclass by its name, itself or to make objects from it.

    Classes of Python itself, such as paths and numbers, are written as text; protocols are not judged here.
    """
    kinds = (kind for kind in products(hint) or [get_origin(hint) or hint] if isinstance(kind, type))
    named = (
        kind for kind in kinds if not issubclass(kind, (Enum, tuple, dict)) and Protocol not in kind.__mro__
    )
    return [kind for kind in named if kind.__module__.partition(".")[0] not in sys.stdlib_module_names]


def fits(value: Any, hint: Any) -> bool:
    """Return whether a plain value may be of a type that is no union; what cannot be judged here fits.

    Example:
        >>> fits(1, float), fits(True, int), fits("a", Literal["b"]), fits({}, list[int])
        (True, False, False, False)
    """
    origin = get_origin(hint) or hint
    if value is None or hint is NoneType:
        return value is None and hint in (Any, NoneType)
    if origin is Literal:
        return value in get_args(hint)
    if hint in PLAIN:
        return type(value) is hint or (hint is float and type(value) is int)
    return not (bases(hint) or origin in LISTS or origin in MAPPINGS)


def contents(value: Any, options: list[Any]) -> list[tuple[Any, Any]] | None:
    """Return what a list or mapping holds, each with its type; None where none of the types holds anything.

    Example:
        >>> contents([1, "a"], [int, list[str]]), contents({}, [int])
        ([(1, <class 'str'>), ('a', <class 'str'>)], None)
    """
    kinds = LISTS if isinstance(value, list) else MAPPINGS if isinstance(value, dict) else ()
    hint = next((option for option in options if (get_origin(option) or option) in kinds), None)
    if hint is None:
        return None
    inner = get_args(hint) or (Any, Any)
    if isinstance(value, dict):
        return [(part, kind) for item in value.items() for part, kind in zip(item, inner, strict=True)]
    fixed = get_origin(hint) is tuple and Ellipsis not in inner and len(inner) == len(value)
    return list(zip(value, inner if fixed else inner[:1] * len(value), strict=True))


def supplied(hint: Any) -> int:
    """Return how many arguments a factory gets from its caller.

    Example:
        >>> supplied(Callable[[list], dict]), supplied(dict)
        (1, 0)
    """
    given = get_args(hint)[0] if products(hint) and get_origin(hint) is abc.Callable else ()
    return len(given) if isinstance(given, list) else 0


def readable(hint: Any) -> str:
    """Write a type as it reads in YAML.

    Example:
        >>> readable(int | None), readable(Literal["a", 1]), readable(list[bool]), readable(dict[str, int])
        ('int or null', "one of 'a', 1", 'a list of true or false', 'settings')
    """
    options, inner, origin = alternatives(hint), get_args(hint), get_origin(hint) or hint
    if len(options) > 1:
        return " or ".join(dict.fromkeys(map(readable, options)))
    if origin in LISTS:
        return f"a list of {readable(inner[0])}" if inner else "a list"
    if products(hint):
        return f"a class that makes an {products(hint)[0].__name__}"
    one_of = f"one of {', '.join(map(repr, inner))}"
    special: dict[Any, str] = {NoneType: "null", bool: "true or false", Literal: one_of}
    return "settings" if origin in MAPPINGS else special.get(origin, getattr(origin, "__name__", str(hint)))


def subclasses(*kinds: type) -> Iterator[type]:
    """Iterate over classes and those that derive from them; one that derives twice comes twice."""
    for kind in kinds:
        yield kind
        yield from subclasses(*type.__subclasses__(kind))


def known(name: str, kinds: list[type]) -> str:
    """Suggest the class that was meant, or list those that there are: public and not abstract, ours first."""
    found = {kind for base in kinds for kind in subclasses(base) if _offered(kind, base)}
    names = {kind.__name__ for kind in found}
    ours = names & set(recurlight.__all__)
    return offer(name, [*sorted(ours), *sorted(names - ours)])


def _offered(kind: type, base: type) -> bool:
    """Leave out what is a module too, but no cell or layer, where any module may stand."""
    other = kind.__module__.partition(".")[0] in ("recurlight", "lightning", "torchmetrics")
    fits = base is not nn.Module or not other or kind.__module__.startswith("recurlight.cells.")
    return fits and not inspect.isabstract(kind) and not kind.__name__.startswith("_")


def offer(name: str, names: list[str]) -> str:
    """Suggest the name that was meant, or list those that there are."""
    listed = ", ".join([*names[:MANY], *(["..."] if len(names) > MANY else [])])
    return suggestion(name, names) or (f"; known: {listed}" if names else "")

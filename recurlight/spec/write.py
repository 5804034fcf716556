"""Objects to plain data."""

from __future__ import annotations

import functools
import inspect
import numbers
import sys
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, NamedTuple

import torch
from torch import nn

from recurlight.errors import Unrecordable
from recurlight.spec.modules import alike, sequential
from recurlight.spec.names import hints, import_path, parameters, products, supplied, takes_function
from recurlight.spec.read import from_spec
from recurlight.spec.recorded import Recorded, arguments

__all__ = ["Description", "describe", "to_spec"]


class Description(NamedTuple):
    """How an object was made, as far as it can be written."""

    arguments: dict[str, Any]
    """Constructor arguments as plain data."""
    unrecorded: dict[str, str]
    """Constructor arguments that cannot be written, and why."""


def describe(thing: Any, given: dict[str, Any] | None = None) -> Description:
    """Write the constructor arguments of an object one by one; see `to_spec`.

    Args:
        thing: The object.
        given: Arguments by name; None for those that it was made with.

    Example:
        >>> from recurlight.halting import ConvergenceHalting
        >>> describe(ConvergenceHalting(0.1))
        Description(arguments={'tolerance': 0.1}, unrecorded={})
    """
    writer, types, found = _Writer(), hints(type(thing)), Description({}, {})
    for name, value in (arguments(thing) if given is None else given).items():
        try:
            found.arguments[name] = writer.value(value, types.get(name))
        except Unrecordable as error:
            found.unrecorded[name] = str(error)
    return found


def to_spec(thing: Any, hint: Any = None) -> Any:
    """Write an object as null, numbers, text, lists, tuples and dictionaries.

    A part is `{"class_path": path, "init_args": {name: value, ...}}`. Parts are `Recorded` objects, plain
    torch modules and dataclasses; and, where a parameter is annotated as a `Callable`, functions, classes and
    `functools.partial` of classes, which are then made later. Weights are no part of it: they are in the
    state dict.

    Args:
        thing: What to write.
        hint: Type of the parameter that takes it.

    Raises:
        Unrecordable: With the part that cannot be written and what to do instead.

    Example:
        >>> from recurlight.truncation import LastCycles
        >>> to_spec(LastCycles(2))
        {'class_path': 'recurlight.LastCycles', 'init_args': {'count': 2}}
    """
    return _Writer().value(thing, hint)


class _Writer:
    """Writes one tree of objects; knows the modules that it has written already."""

    def __init__(self) -> None:
        self.written: list[nn.Module] = []

    def value(self, value: Any, hint: Any) -> Any:
        """Write any value."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, numbers.Integral):  # numpy's numbers and enumerations, too
            return int(value)
        if isinstance(value, numbers.Real):
            return float(value)
        if isinstance(value, str):
            return str(value)
        if isinstance(value, PurePath):
            return str(value)
        if type(value) in (list, tuple):
            return type(value)(self.value(item, hint) for item in value)
        if type(value) is dict:
            return self.dictionary(value, hint)
        if isinstance(value, (type, functools.partial)):
            return self.factory(value, hint)
        if inspect.isroutine(value):
            return _function(value, hint)
        return self.part(value, hint)

    def dictionary(self, found: dict[Any, Any], hint: Any) -> dict[str, Any]:
        """Write a dictionary."""
        if not all(isinstance(key, str) for key in found) or "class_path" in found:
            raise Unrecordable("the keys of a dictionary must be words, and none of them 'class_path'")
        return {key: self.value(item, hint) for key, item in found.items()}

    def factory(self, factory: Any, hint: Any) -> dict[str, Any]:
        """Write a class that is made later, with the defaults of what is not given."""
        kind, given = _taken_apart(factory)
        if not isinstance(kind, type) or not issubclass(kind, products(hint)):
            shown = getattr(kind, "__name__", kind)
            raise Unrecordable(
                f"{shown} is made later; annotate the parameter that takes it as Callable[..., BASE], "
                f"where {shown} is a class derived from BASE"
            )
        return self.made(kind, _defaults(kind, hint) | given)

    def part(self, thing: Any, hint: Any) -> dict[str, Any]:
        """Write an object that has a constructor."""
        kind = type(thing)
        if isinstance(thing, products(hint)):
            raise Unrecordable(f"this argument makes its {kind.__name__} later; pass the class")
        if isinstance(thing, nn.Module):
            if any(thing is other for other in self.written):
                raise Unrecordable(f"the same {kind.__name__} is given twice; share it inside one part")
            self.written.append(thing)
        if kind is nn.Sequential:
            return self.made(sequential, {"modules": dict(thing.named_children())})
        spec = self.made(kind, arguments(thing))
        if isinstance(thing, nn.Module) and not isinstance(thing, Recorded):
            _require_alike(thing, spec)
        return spec

    def made(self, maker: Callable[..., Any], args: dict[str, Any]) -> dict[str, Any]:
        """Write a class path and arguments; defaults that are no plain data are left to the class."""
        spec: dict[str, Any] = {"class_path": import_path(maker)}
        types, known = hints(maker), parameters(maker)
        init_args = {}
        for name, value in args.items():
            try:
                init_args[name] = self.value(value, types.get(name))
            except Unrecordable as error:
                if name not in known or value is not known[name].default:
                    raise error.within(name) from None
        return spec | {"init_args": init_args} if init_args else spec


def _function(function: Callable[..., Any], hint: Any) -> str:
    path = import_path(function)
    if not takes_function(hint):
        raise Unrecordable(f"{path} is a function; annotate the parameter that takes it as Callable")
    return path


def _taken_apart(factory: Any) -> tuple[Any, dict[str, Any]]:
    """Return the class of a factory and the arguments given to it."""
    if not isinstance(factory, functools.partial):
        return factory, {}
    kind, positional = factory.func, factory.args
    if getattr(kind, "__module__", "").partition(".")[0] == "jsonargparse":  # made by the command line
        kind, positional = positional[-1], ()
    if positional:
        raise Unrecordable(
            f"the partial of {getattr(kind, '__name__', kind)} has arguments without a name; name them"
        )
    return kind, dict(factory.keywords)


def _defaults(kind: type, hint: Any) -> dict[str, Any]:
    """Return the defaults of a class that is made later, but for those that the call may give by position."""
    by_call = supplied(hint)
    known = list(parameters(kind).items())[by_call:] if by_call is not None else []
    return {name: p.default for name, p in known if p.default is not p.empty}


def _require_alike(module: nn.Module, spec: dict[str, Any]) -> None:
    """Make a plain module anew and compare: an attribute may mean something else than the argument did."""
    kind, reason = type(module).__name__, "differs from it"
    try:
        with torch.random.fork_rng(devices=[]):
            if alike(module, from_spec(spec, _loaded), Recorded):
                return
    except Exception as error:  # whatever a stranger's constructor raises
        reason = f"fails ({type(error).__name__}: {error})"
    raise Unrecordable(
        f"{kind} made anew from the attributes that are named like its arguments {reason}; "
        f"use a class My{kind}(recurlight.Recorded, {kind})"
    )


def _loaded(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(sys.modules[module], name)

"""Values against annotations: for what callers hand in, and for what configurations say."""

from __future__ import annotations

import collections.abc
import math
import numbers
import os
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from torch import Tensor

from recurlight.spec.names import products

__all__ = ["PLAIN", "accepts", "alternatives", "contents", "holds", "wanted"]

PLAIN: dict[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a finite number",
    str: "text",
    types.NoneType: "None",
}
"""Types of plain data, and what they are called."""


def alternatives(hint: Any) -> list[Any]:
    """Return the members of a union, or the one type that there is.

    Example:
        >>> alternatives(int | None)
        [<class 'int'>, <class 'NoneType'>]
    """
    if get_origin(hint) in (Union, types.UnionType):
        return [inner for part in get_args(hint) for inner in alternatives(part)]
    return [hint]


def holds(hint: Any) -> bool:
    """Return whether values of a type are lists or dictionaries."""
    origin = get_origin(hint) or hint
    mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return mapping or origin in (list, tuple, collections.abc.Sequence, collections.abc.Iterable)


def contents(value: Any, hint: Any) -> list[tuple[Any, Any]] | None:
    """Return what a list or dictionary holds, each with its type; None for other values, types and lengths.

    Lists and tuples stand for each other, and a text for a sequence of letters.

    Example:
        >>> contents([1, "a"], list[str]), contents({}, int)
        ([(1, <class 'str'>), ('a', <class 'str'>)], None)
    """
    origin, parts = get_origin(hint) or hint, get_args(hint)
    mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    if not holds(hint) or mapping != isinstance(value, Mapping):
        return None
    if mapping:
        return [pair for item in value.items() for pair in zip(item, parts or (Any, Any), strict=True)]
    letters = origin is collections.abc.Sequence and parts == (str,)
    if not isinstance(value, Sequence) or (isinstance(value, str) and not letters):
        return None
    if origin is tuple and parts and Ellipsis not in parts:
        return list(zip(value, parts, strict=True)) if len(value) == len(parts) else None
    return [(item, parts[0] if parts else Any) for item in value]


def accepts(value: Any, hint: Any) -> bool:
    """Return whether a value fits a type; what cannot be checked fits.

    Numbers of numpy are numbers, True and False are none, nor are NaN and infinity; any path is text.

    Example:
        >>> accepts(None, int | None), accepts(True, int), accepts(1, float), accepts([1, "2"], list[int])
        (True, False, True, False)
    """
    if type(value) is hint and hint is not float:  # most values, at no cost
        return True
    origin, parts = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return any(accepts(value, part) for part in parts)
    if hint in PLAIN:
        return _plain(value, hint)
    if origin is Annotated:
        return accepts(value, parts[0])
    if origin is Literal:  # which of them is the constructor's business, which names the setting
        same = isinstance(value, tuple(map(type, parts))) and not isinstance(value, bool)
        return same or (isinstance(value, np.integer) and value in parts)
    if origin is collections.abc.Callable:
        return callable(value)
    if holds(hint) and origin is not collections.abc.Iterable:  # one that can be gone through once only
        held = contents(value, hint)
        return held is not None and all(accepts(item, inner) for item, inner in held)
    if hint is Any or not isinstance(origin, type) or getattr(origin, "_is_protocol", False):
        return True
    if issubclass(origin, tuple) and hasattr(origin, "_fields"):  # any record with the same fields does
        return {*origin._fields} <= {*getattr(value, "_fields", ())}
    return isinstance(value, origin) and not isinstance(value, bool)


def _plain(value: Any, hint: Any) -> bool:
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    if hint is float:
        return isinstance(value, numbers.Real) and math.isfinite(value)
    if hint is int:
        return isinstance(value, numbers.Integral)
    return isinstance(value, (str, os.PathLike)) if hint is str else value is None


def wanted(hint: Any, value: Any = None) -> str:
    """Say what a parameter takes, to one who has given a value.

    Example:
        >>> wanted(int | None), wanted(dict[str, list[bool]])
        ('a whole number or None', 'a dictionary of names to a list, True or False each')
    """
    origin, parts = get_origin(hint) or hint, get_args(hint)
    if hint is Any:
        return "anything"
    if hint in PLAIN:
        return PLAIN[hint]
    if len(options := alternatives(hint)) > 1:
        return " or ".join(wanted(option, value) for option in options)
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if made := tuple(kind for kind in products(hint) if kind is not Any):
        given = type(value) if isinstance(value, made) else made[0]
        return f"what makes the {made[0].__name__}, as functools.partial({given.__name__}, ...)"
    if origin is collections.abc.Callable:
        return "a function"
    if holds(hint) and parts:
        return _held(origin, [wanted(part) for part in parts if part is not Ellipsis], Ellipsis in parts)
    if isinstance(value, type) and issubclass(value, origin):
        return f"an object, {value.__name__}(...)"
    return f"a {origin.__name__}" if origin is Tensor else f"an object of class {origin.__name__}"


def _held(origin: Any, each: list[str], endless: bool) -> str:
    if issubclass(origin, Mapping):
        return f"a dictionary of names to {each[1]}"
    return f"({', '.join(each)})" if origin is tuple and not endless else f"a list, {each[0]} each"

"""What callers hand in: an argument of the wrong type or range is refused in one line that names it.

Annotations say the types, as they do on the command line, and are read once for each function.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import math
import numbers
import os
import reprlib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

import numpy as np
from torch import Tensor

from recurlight.errors import IncompatibleComponents, RecurlightError
from recurlight.spec.names import VARIADIC, hints, products

__all__ = ["accepts", "check_arguments", "checked", "within"]

P = ParamSpec("P")
R = TypeVar("R")

_PLAIN = {
    bool: ((bool,), "True or False"),
    int: ((numbers.Integral,), "a whole number"),
    float: ((numbers.Real,), "a finite number"),
    str: ((str, os.PathLike), "text"),
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of every call by the annotations; a decorator, for well under a microsecond each.

    Example:
        >>> @checked
        ... def halve(number: int) -> int:
        ...     return number // 2
        >>> halve("8")
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: halve got number='8': give a whole number
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check_arguments(function, args, kwargs)
        return function(*args, **kwargs)

    return call


def check_arguments(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    error: type[RecurlightError] = IncompatibleComponents,
) -> None:
    """Insist that a call's arguments have the types that the function is annotated with.

    Too many and unknown arguments are left to Python, which names them.

    Args:
        function: What is called; of a constructor, its `__init__`.
        args: Positional arguments, `self` among them.
        kwargs: Arguments by name.
        error: Raised, with the name of the argument and what to give.
    """
    names, kinds = _signature(function)
    for name, value in (*zip(names, args, strict=False), *kwargs.items()):
        kind = kinds.get(name)
        if kind is not None and not kind.accepts(value) and value is not kind.default:
            owner = type(args[0]).__name__ if names[:1] == ("self",) else function.__name__
            raise error(f"{owner} got {_got(name, value, kind.hint)}: give {_wanted(kind.hint, value)}")


class _Kind:
    """What a parameter takes."""

    def __init__(self, hint: Any, default: Any) -> None:
        self.hint, self.default, self.accepts = hint, default, accepts(hint)


@functools.cache
def _signature(function: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, _Kind]]:
    """Return the names of positional parameters, and the kinds of those with a type that can be checked."""
    found, known = inspect.signature(function).parameters, hints(function)
    named = {name: p for name, p in found.items() if p.kind not in VARIADIC}
    kinds = {name: _Kind(known[name], p.default) for name, p in named.items() if name in known}
    positional = [name for name, p in named.items() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    return tuple(positional), kinds


def accepts(hint: Any) -> Callable[[Any], bool]:
    """Return whether a value fits a type, as a function of the value; what cannot be checked fits.

    Numbers of numpy are numbers, True and False are none, nor are NaN and infinity; any path is text; lists
    and tuples stand for each other.

    Example:
        >>> accepts(int | None)(None), accepts(int)(True), accepts(float)(1), accepts(list[int])([1, "2"])
        (True, False, True, False)
    """
    origin, parts = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return functools.partial(_plain, hint)
    if origin in (Union, types.UnionType):
        return functools.partial(_any, [accepts(part) for part in parts])
    if origin is Annotated:
        return accepts(parts[0])
    if origin is Literal:  # which of them is the constructor's business, which names the setting
        same = functools.partial(_instance, tuple({type(part) for part in parts}))
        return lambda value: same(value) or (isinstance(value, np.integer) and value in parts)
    if origin is collections.abc.Callable or hint in (Callable, collections.abc.Callable):
        return callable
    if isinstance(origin, type) and issubclass(origin, dict) and len(parts) == 2:
        return functools.partial(_dictionary, accepts(parts[1]))
    if origin in (list, tuple, collections.abc.Sequence):
        text = origin is collections.abc.Sequence and parts == (str,)
        return functools.partial(_sequence, _items(origin, parts), text)
    kind = origin or hint
    if hint in (None, Any) or not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return (lambda value: value is None) if hint in (None, type(None)) else (lambda value: True)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return functools.partial(_record, frozenset(kind._fields))
    return functools.partial(_instance, (kind,))


def _plain(kind: type, value: Any) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, numbers.Real) and math.isfinite(value)
    return isinstance(value, _PLAIN[kind][0])


def _any(options: Sequence[Callable[[Any], bool]], value: Any) -> bool:
    return any(option(value) for option in options)


def _instance(kinds: tuple[type, ...], value: Any) -> bool:
    return isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)


def _dictionary(items: Callable[[Any], bool], value: Any) -> bool:
    return isinstance(value, dict) and all(map(items, value.values()))


def _items(origin: Any, parts: tuple[Any, ...]) -> Callable[[Any], Iterator[bool]]:
    """Return what tells of each item of a sequence whether it fits."""
    options = [accepts(part) for part in parts if part is not Ellipsis]
    if origin is tuple and parts[-1:] != (Ellipsis,):
        return lambda value: (
            len(value) == len(options) and fits(item) for fits, item in zip(options, value, strict=False)
        )
    return lambda value: (options[0](item) for item in value)


def _sequence(items: Callable[[Any], Iterator[bool]], text: bool, value: Any) -> bool:
    return isinstance(value, Sequence) and (text or not isinstance(value, str)) and all(items(value))


def _record(fields: frozenset[str], value: Any) -> bool:
    return fields <= frozenset(getattr(value, "_fields", ()))


def _got(name: str, value: Any, hint: Any) -> str:
    """Show an argument in few words."""
    if isinstance(value, type):
        return f"the class {value.__name__} for {name}"
    plain = (bool, int, float, str, os.PathLike, type(None))
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    if isinstance(value, (*plain, list, tuple, dict)) and all(isinstance(item, plain) for item in items):
        return f"{name}={_SHORT.repr(value)}"
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} {value.dtype} for {name}"
    return f"an object of class {type(value).__name__} for {name}"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 40


def _wanted(hint: Any, value: Any = None) -> str:
    """Say what a parameter takes."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint][1]
    if hint in (None, type(None)):
        return "None"
    if origin in (Union, types.UnionType):
        return " or ".join(_wanted(part, value) for part in parts)
    if origin is Literal:
        return " or ".join(map(repr, parts))
    made = tuple(kind for kind in products(hint) if kind is not Any)
    if made:
        given = type(value) if isinstance(value, made) else made[0]
        return f"what makes the {made[0].__name__}, as functools.partial({given.__name__}, ...)"
    if origin is collections.abc.Callable or hint in (Callable, collections.abc.Callable):
        return "a function"
    if isinstance(origin, type) and issubclass(origin, dict):
        return f"a dictionary of names to {_wanted(parts[1])} each"
    if origin in (list, tuple, collections.abc.Sequence):
        each = [_wanted(part) for part in parts if part is not Ellipsis]
        counted = origin is tuple and parts[-1:] != (Ellipsis,)
        return f"{'(' + ', '.join(each) + ')' if counted else 'a list, ' + each[0] + ' each'}"
    kind: Any = origin or hint
    if isinstance(value, type) and issubclass(value, kind):
        return f"an object, {value.__name__}(...)"
    return f"a {kind.__name__}" if kind is Tensor else f"an object of class {kind.__name__}"


def within(
    owner: str,
    name: str,
    value: float,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    error: type[RecurlightError] = IncompatibleComponents,
) -> None:
    """Insist that a number is in a range.

    Args:
        owner: Whose argument it is.
        name: Its name.
        value: The number.
        least: Smallest that is allowed.
        most: Largest that is allowed; infinity itself is not.
        above: Largest that is too small.
        error: Raised, with what to give.

    Example:
        >>> within("MixerCell", "layers", 2, 1)
        >>> within("MixerCell", "layers", 0, 1)
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: MixerCell got layers=0: give 1 or more
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if number and least <= value <= most and above < value < math.inf:
        return
    low = f"{least:g} or more" if least > -math.inf else f"more than {above:g}"
    high = f" and at most {most:g}" if most < math.inf else ""
    raise error(f"{owner} got {name}={value!r}: give {low}{high}")

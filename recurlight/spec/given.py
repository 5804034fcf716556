"""What callers hand in: an argument of the wrong type or range is refused in one line that names it."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from torch import Tensor

from recurlight.errors import IncompatibleComponents, RecurlightError
from recurlight.spec.annotations import accepts, wanted
from recurlight.spec.names import Setting, settings

__all__ = ["check_arguments", "checked", "within"]

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of every call by the annotations; a decorator, for a few microseconds each.

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
    """Refuse arguments of a call that have not the types that the function is annotated with.

    Too many and unknown arguments are left to Python, which names them.

    Args:
        function: What is called; of a constructor, its `__init__`.
        args: Positional arguments, `self` among them.
        kwargs: Arguments by name.
        error: Raised, with the name of the argument and what to give.
    """
    names, kinds = _signature(function)
    for name, value in (*zip(names, args, strict=False), *kwargs.items()):
        hint, default = kinds.get(name, (Any, None))
        if value is not default and not accepts(value, hint):
            owner = type(args[0]).__name__ if names[:1] == ("self",) else function.__name__
            raise error(f"{owner} got {_got(name, value)}: give {wanted(hint, value)}")


@functools.cache
def _signature(function: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, Setting]]:
    """Return the names of positional parameters, and what all of them take; reading that is slow."""
    known = settings(function)
    found = inspect.signature(function).parameters
    return tuple(name for name in known if found[name].kind is not inspect.Parameter.KEYWORD_ONLY), known


def _got(name: str, value: Any) -> str:
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
    """Refuse a number that is out of a range.

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

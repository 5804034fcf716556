"""Names and types of constructors: under which path a class is found, and what its parameters take."""

from __future__ import annotations

import collections.abc
import inspect
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from recurlight.errors import Unrecordable

__all__ = ["VARIADIC", "Setting", "hints", "import_path", "levels", "parameters", "products", "settings"]
__all__ += ["supplied", "takes_any", "takes_function"]

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Setting(NamedTuple):
    """What a constructor or function takes under one name."""

    hint: Any
    default: Any = inspect.Parameter.empty


def import_path(thing: Any) -> str:
    """Return the shortest dotted path under which a class or function can be imported.

    Raises:
        Unrecordable: There is none.

    Example:
        >>> import torch
        >>> import_path(torch.nn.modules.linear.Linear)
        'torch.nn.Linear'
    """
    module, name = getattr(thing, "__module__", None) or "", getattr(thing, "__qualname__", "")
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        home = ".".join(parts[:count])
        if getattr(sys.modules.get(home), name, None) is thing:
            return f"{home}.{name}"
    if name.endswith("<lambda>"):
        raise Unrecordable("a lambda has no name to be found by; use functools.partial of a class")
    shown = name.rpartition(".")[2] or repr(thing)
    raise Unrecordable(f"{shown} cannot be imported from {module}; define it at the top level of a module")


def parameters(made: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class's constructor, without `self`, or of a function."""
    if not isinstance(made, type):
        return dict(inspect.signature(made).parameters)
    return dict(list(inspect.signature(made.__init__).parameters.items())[1:])  # type: ignore[misc]


def levels(made: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return who takes the settings of a class: itself, and the bases to which it passes `**settings` on."""
    if not isinstance(made, type):
        return [made]
    found: list[Callable[..., Any]] = []
    for kind in (kind for kind in made.__mro__ if "__init__" in vars(kind)):
        found.append(kind)
        if not takes_any(kind):
            break
    return found


def hints(made: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of the parameters, also of those that a class passes on to its bases.

    Those of a constructor are left out where one of them exists for type checkers only.

    Example:
        >>> class Base:
        ...     def __init__(self, depth: int) -> None: ...
        >>> class Mine(Base):
        ...     def __init__(self, share: float, **settings) -> None: ...
        >>> sorted(hints(Mine))
        ['depth', 'return', 'share']
    """
    found: dict[str, Any] = {}
    for level in levels(made):
        try:
            types = get_type_hints(level.__init__ if isinstance(level, type) else level)  # type: ignore[misc]
        except (NameError, TypeError, AttributeError):
            continue
        found = types | found
    return found


def settings(made: Callable[..., Any]) -> dict[str, Setting]:
    """Return what the signature of a class or function names, with types and defaults.

    Example:
        >>> settings(int.from_bytes)["signed"]
        Setting(hint=typing.Any, default=False)
    """
    types, known = hints(made), parameters(made)
    named = {name: parameter for name, parameter in known.items() if parameter.kind not in VARIADIC}
    return {name: Setting(types.get(name, Any), parameter.default) for name, parameter in named.items()}


def takes_any(made: Callable[..., Any]) -> bool:
    """Return whether a class or function takes arguments that its signature does not name, `**settings`."""
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters(made).values())


def products(hint: Any) -> tuple[type, ...]:
    """Return the classes that a parameter's factories make; none where it takes no factory.

    As in configuration files, a class is a factory where `Callable[..., Base]` is asked for, and stands for
    an object elsewhere.

    Example:
        >>> products(Callable[[int], dict] | None), products(dict)
        ((<class 'dict'>,), ())
    """
    parts = get_args(hint)
    if get_origin(hint) is collections.abc.Callable and parts:
        made = get_args(parts[-1]) or parts[-1:]
        return tuple(kind for kind in made if isinstance(kind, type))
    return tuple(kind for part in parts for kind in products(part))


def supplied(hint: Any) -> int | None:
    """Return how many arguments a factory gets from its caller, by position; None where the type is silent.

    Example:
        >>> supplied(Callable[[list], dict] | None), supplied(Callable[..., dict])
        (1, None)
    """
    calls = [get_args(part)[0] for part in (hint, *get_args(hint)) if products(part) and get_args(part)]
    return next((len(call) for call in calls if isinstance(call, list)), None)


def takes_function(hint: Any) -> bool:
    """Return whether a parameter takes functions.

    Example:
        >>> takes_function(Callable[[int], int] | None), takes_function(str)
        (True, False)
    """
    callables = (collections.abc.Callable, Callable)
    return hint in callables or get_origin(hint) in callables or any(map(takes_function, get_args(hint)))

"""What an object was made with."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from recurlight.errors import IncompatibleComponents, RecurlightError, Unrecordable
from recurlight.spec.given import check_arguments
from recurlight.spec.modules import attributes
from recurlight.spec.names import parameters, takes_any

__all__ = ["Recorded", "arguments", "settle"]

_GIVEN = "_constructor_arguments"
_SETTLED = "_settled_arguments"
_LEFT = "_defaults_left_to_bases"
_OPEN = "_settings_passed_on"


class Recorded:
    """Remembers the arguments that its subclasses are constructed with; there is nothing to call.

    It is the base of every part that a model is composed of. Derive a cell that is a plain `torch.nn.Module`
    from it too, `class MyCell(Recorded, nn.Module)`, unless it keeps its arguments as attributes of the same
    names, as torch's own modules do.

    Example:
        >>> class Scale(Recorded, nn.Module):
        ...     def __init__(self, by: float = 2.0) -> None:
        ...         super().__init__()
        ...         self.factor = 1 / by
        >>> arguments(Scale())
        {'by': 2.0}
    """

    def _refusal(self) -> type[RecurlightError]:
        """Return the error of an argument of the wrong type; see the data for another."""
        return IncompatibleComponents

    def __post_init__(self) -> None:
        """Check the fields of a dataclass, whose constructor is not written by hand."""
        for kind in type(self).__mro__:
            if kind.__module__.partition(".")[0] == "recurlight" and dataclasses.is_dataclass(kind):
                check_arguments(kind.__init__, (self,), self._own_fields(kind), self._refusal())

    def _own_fields(self, kind: type) -> dict[str, Any]:
        """Return the values of the fields that a class declares."""
        declared = vars(kind).get("__annotations__", {})
        fields = (field.name for field in dataclasses.fields(kind) if field.init)
        return {name: getattr(self, name) for name in fields if name in declared}

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "__init__" in vars(cls) or _foreign(cls):
            cls.__init__ = _remembering(cls.__init__)  # type: ignore[method-assign]


def _foreign(kind: type) -> bool:
    """Return whether a class inherits a constructor with arguments that nobody remembers."""
    init = kind.__init__  # type: ignore[misc]
    # The constructor of a dataclass is made after this, unless there is one; its fields hold the arguments.
    known = hasattr(init, _GIVEN) or init in (object.__init__, nn.Module.__init__)
    return not known and not dataclasses.is_dataclass(kind)


def _remembering(init: Callable[..., None]) -> Callable[..., None]:
    ours = init.__module__.partition(".")[0] == "recurlight"  # how strict their annotations are others know
    known = inspect.signature(init).parameters
    defaults = {name: p.default for name, p in known.items() if p.default is not p.empty}
    # Of others' classes nobody knows whether they give `**settings` to their base or keep them.
    passes_on = ours and any(p.kind is p.VAR_KEYWORD for p in known.values())

    @functools.wraps(init)
    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        if ours:
            check_arguments(init, (self, *args), kwargs, self._refusal())
        memory = vars(self)
        if _GIVEN not in memory:  # the outermost constructor comes first
            memory[_GIVEN], memory[_LEFT], memory[_OPEN] = (args, kwargs), {}, True
        elif memory[_OPEN]:  # what no constructor gave could have been given to the outermost
            given = {*[*known][: len(args) + 1], *kwargs}
            mine = {name: value for name, value in defaults.items() if name not in given}
            memory[_LEFT] = mine | memory[_LEFT]
        memory[_OPEN] = memory[_OPEN] and passes_on
        init(self, *args, **kwargs)

    remember.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]  # not all look behind a wrapper
    setattr(remember, _GIVEN, True)
    return remember


def settle(thing: Recorded, name: str, value: Any, otherwise: Any) -> Any:
    """Decide on an argument that was left open, and record it, so that one made like this gets it too.

    Args:
        thing: What is being made.
        name: The argument.
        value: What it shall be.
        otherwise: What it is where the class takes no such argument, so that it cannot be recorded.

    Returns:
        One of the two.

    Example:
        >>> class Walk(Recorded):
        ...     def __init__(self, step: float | None = None) -> None:
        ...         self.step = settle(self, "step", 0.5, otherwise=1.0) if step is None else step
        >>> arguments(Walk())
        {'step': 0.5}
    """
    if name not in parameters(type(thing)) and not takes_any(type(thing)):
        return otherwise
    vars(thing).setdefault(_SETTLED, {})[name] = value
    return value


def arguments(thing: Any) -> dict[str, Any]:
    """Return the arguments that make an object like this one, by name, with the defaults.

    Those of bases, to which recurlight's own classes pass `**settings` on, are among them.

    Raises:
        Unrecordable: They are not known.
    """
    kind = type(thing)
    if _GIVEN in getattr(thing, "__dict__", ()):
        args, kwargs = vars(thing)[_GIVEN]
        bound = inspect.signature(kind.__init__).bind(thing, *args, **kwargs)
        bound.apply_defaults()
        settled: dict[str, Any] = vars(thing).get(_SETTLED, {})
        left: dict[str, Any] = vars(thing).get(_LEFT, {})
        return left | _by_name(kind, dict(list(bound.arguments.items())[1:])) | settled
    if dataclasses.is_dataclass(thing):
        return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}
    if isinstance(thing, Recorded):
        return {}  # its constructor takes nothing, or it would be remembered
    if isinstance(thing, nn.Module):
        return attributes(thing)
    raise Unrecordable(f"{kind.__name__} is neither plain data nor a part that tells how it was made")


def _by_name(kind: type, found: dict[str, Any]) -> dict[str, Any]:
    """Unfold `**kwargs`, and refuse arguments without a name."""
    for name, parameter in parameters(kind).items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL and found.pop(name, ()):
            raise Unrecordable(f"{kind.__name__} got arguments without a name; pass them by name")
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found |= found.pop(name, {})
    return found

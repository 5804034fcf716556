"""Plain data to objects."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from recurlight.errors import CheckpointMismatch, UntrustedCode
from recurlight.spec.modules import sequential
from recurlight.spec.names import hints, products, settings, takes_any, takes_function
from recurlight.spec.recorded import Recorded

__all__ = ["from_spec", "require_arguments"]

_MADE = (Recorded, nn.Module, Optimizer, LRScheduler)
"""What a specification may make, besides dataclasses: nothing that runs a command when it is made."""


def from_spec(spec: Any, find: Callable[[str], Any], hint: Any = None) -> Any:
    """Make the object that `to_spec` has written.

    Args:
        spec: Plain data.
        find: Gives the class or function of a dotted path, or refuses: see `Trust`.
        hint: Type of the parameter that takes the object.

    Raises:
        UntrustedCode: A path names code that may not be imported, or no part of a model.
        CheckpointMismatch: A class has no such arguments.

    Example:
        >>> from recurlight.checkpoints.trust import Trust
        >>> from_spec({"class_path": "torch.nn.GELU", "init_args": {"approximate": "tanh"}}, find=Trust())
        GELU(approximate='tanh')
    """
    if isinstance(spec, (list, tuple)):
        return type(spec)(from_spec(item, find, hint) for item in spec)
    if isinstance(spec, str) and "." in spec and takes_function(hint):
        return find(spec)
    if not isinstance(spec, dict):
        return spec
    if "class_path" not in spec:
        return {key: from_spec(value, find, hint) for key, value in spec.items()}
    made = _maker(spec["class_path"], find)
    given = spec.get("init_args", {})
    require_arguments(spec["class_path"], made, given)
    types = hints(made)
    args = {name: from_spec(value, find, types.get(name)) for name, value in given.items()}
    if isinstance(made, type) and issubclass(made, products(hint)):
        return functools.partial(made, **args) if args else made
    return made(**args)


def _maker(path: Any, find: Callable[[str], Any]) -> Any:
    made = find(path) if isinstance(path, str) else path
    fits = isinstance(made, type) and (issubclass(made, _MADE) or dataclasses.is_dataclass(made))
    if made is not sequential and not fits:
        raise UntrustedCode(f"{path!r} is no part of a model; nothing was made of it")
    return made


def require_arguments(name: str, made: Callable[..., Any], given: Any) -> None:
    """Refuse arguments of a specification that its class does not take.

    Raises:
        CheckpointMismatch: Listing those that it does not take.
    """
    unknown = [] if takes_any(made) else [key for key in given if key not in settings(made)]
    if unknown:
        raise CheckpointMismatch(
            f"{name} has no argument {', '.join(map(repr, unknown))}, which the checkpoint gives it; "
            "load the checkpoint with the version that wrote it"
        )

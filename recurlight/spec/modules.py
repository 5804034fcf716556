"""Plain torch modules, whose constructors recurlight does not see."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from recurlight.errors import Unrecordable
from recurlight.spec.names import VARIADIC, parameters

__all__ = ["alike", "attributes", "sequential"]

_INTERNAL = {*vars(nn.Module()), "_compiled_call_impl"}
_MISSING = object()


def sequential(modules: dict[str, nn.Module]) -> nn.Sequential:
    """Return `torch.nn.Sequential` of named modules: the form in which a configuration can write one.

    Example:
        >>> sequential({"0": nn.Tanh(), "1": nn.GELU()})[1]
        GELU(approximate='none')
    """
    return nn.Sequential(OrderedDict(modules))


def attributes(module: nn.Module) -> dict[str, Any]:
    """Read a module's constructor arguments from its attributes of the same names, as torch keeps them.

    Compare what they make by `alike`, for an attribute may mean something else.

    Raises:
        Unrecordable: An argument without a default is not kept.

    Example:
        >>> attributes(nn.Linear(2, 3, bias=False))
        {'in_features': 2, 'out_features': 3, 'bias': False}
    """
    found: dict[str, Any] = {}
    for name, parameter in parameters(type(module)).items():
        value = getattr(module, name, _MISSING)
        if parameter.kind in VARIADIC or (value is _MISSING and parameter.default is not parameter.empty):
            continue
        if value is _MISSING:
            kind = type(module).__name__
            raise Unrecordable(
                f"{kind} does not keep its argument '{name}'; write self.{name} = {name} in its constructor, "
                f"or use a class My{kind}(recurlight.Recorded, {kind})"
            )
        if isinstance(parameter.default, bool) and (value is None or isinstance(value, Tensor)):
            value = value is not None  # torch calls the option `bias` like the parameter that it makes
        found[name] = value
    return found


def alike(one: nn.Module, other: nn.Module, exact: type) -> bool:
    """Compare two modules in everything but the values and dtypes of their tensors.

    Args:
        one: A module.
        other: Another.
        exact: Submodules of this class are not looked into.

    Example:
        >>> alike(nn.Linear(2, 3), nn.Linear(2, 3), Tensor), alike(nn.Dropout(0.1), nn.Dropout(0.2), Tensor)
        (True, False)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, exact):
        return True
    children = [list(module._modules.items()) for module in (one, other)]
    if _own(one) != _own(other) or len(children[0]) != len(children[1]):
        return False
    return all(
        name == twin and (a is b if a is None or b is None else alike(a, b, exact))
        for (name, a), (twin, b) in zip(*children, strict=True)
    )


def _own(module: nn.Module) -> tuple[dict[str, Any], dict[str, torch.Size | None]]:
    """Return a module's settings, and the shapes of its own tensors."""
    tensors = {**module._parameters, **module._buffers}
    settings = {name: value for name, value in vars(module).items() if name not in _INTERNAL}
    return settings, {name: None if tensor is None else tensor.shape for name, tensor in tensors.items()}

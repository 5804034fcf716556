"""What the methods return that a class which derives from `RecursiveModule` writes anew."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.types import Prediction

__all__ = ["hold_to_contract"]


def hold_to_contract(kind: type[LightningModule]) -> None:
    """Let the methods of a class refuse to return what training and evaluation cannot use.

    Example:
        >>> class Mine(LightningModule):
        ...     def training_step(self, batch):
        ...         return None
        >>> hold_to_contract(Mine)
        >>> Mine().training_step(None)
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: Mine.training_step returned None: return the loss, ...
    """
    for name, refuse in (("training_step", _no_loss), ("forward", _no_prediction)):
        if name in vars(kind):
            setattr(kind, name, _held(vars(kind)[name], refuse))


def _held(method: Callable[..., Any], refuse: Callable[[LightningModule, Any], str]) -> Callable[..., Any]:
    @functools.wraps(method)
    def held(self: LightningModule, *args: Any, **kwargs: Any) -> Any:
        output = method(self, *args, **kwargs)
        if text := refuse(self, output):
            raise IncompatibleComponents(f"{type(self).__name__}.{method.__name__} returned {text}")
        return output

    return held


def _no_loss(module: LightningModule, output: Any) -> str:
    """Say what is wrong with the output of a training step; nothing that waits for a device is asked."""
    loss = output.get("loss") if isinstance(output, Mapping) else output
    if not module.automatic_optimization:
        return ""
    found = _kind(loss)
    if isinstance(loss, Tensor):
        if loss.numel() == 1 and loss.requires_grad:
            return ""
        having = "with" if loss.requires_grad else "without"
        found = f"a tensor of shape {tuple(loss.shape)} {having} gradient"
    return f"{found}: return the loss, one number with gradient, such as the mean over slots"


def _no_prediction(module: LightningModule, output: Any) -> str:
    return "" if isinstance(output, Prediction) else f"{_kind(output)}: return a recurlight.types.Prediction"


def _kind(output: Any) -> str:
    return "None" if output is None else f"a {type(output).__name__}"

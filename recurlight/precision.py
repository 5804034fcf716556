"""Dtypes: activations follow autocast, heads and losses never drop below float32."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor

__all__ = ["at_least_float32", "full_precision", "to_compute_dtype"]


def at_least_float32(x: Tensor) -> Tensor:
    """Return `x` in float32, or untouched when it is float64.

    Example:
        >>> at_least_float32(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return x if x.dtype == torch.float64 else x.float()


def full_precision(x: Tensor) -> AbstractContextManager[None]:
    """Switch autocast off on the device of `x`."""
    return torch.autocast(x.device.type, enabled=False)


def to_compute_dtype(x: Tensor) -> Tensor:
    """Cast `x` to the autocast dtype of its device where autocast is on, so that later activations follow."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x

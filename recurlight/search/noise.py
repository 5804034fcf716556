"""Noise that belongs to questions: the same question draws the same in every batch and on every device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurlight.types import Batch, Carry

__all__ = ["disturbed", "keys_of", "normals"]


def _signed(constant: int) -> int:
    """Write 64 bits as the int64 that has them."""
    return constant - (1 << 64) if constant >> 63 else constant


_GOLDEN, _FIRST, _SECOND = map(_signed, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_BITS = 23  # of a uniform number: float32 keeps one more, so that no number is rounded to 0 or 1


def _mix(values: Tensor) -> Tensor:
    """Scramble int64 values one to one, as splitmix64 does; sums and products wrap around."""
    values = values + _GOLDEN
    values = (values ^ _shifted(values, 30)) * _FIRST
    values = (values ^ _shifted(values, 27)) * _SECOND
    return values ^ _shifted(values, 31)


def _shifted(values: Tensor, by: int) -> Tensor:
    """Shift to the right, zeros coming in: `>>` alone would repeat the sign."""
    return (values >> by) & ((1 << (64 - by)) - 1)


def keys_of(batch: Batch, *counters: int) -> Tensor:
    """Hash what each row asks, and some counters, to a key.

    Args:
        batch: Questions, `(B, ...)`; the labels are not looked at.
        counters: Any integers, such as a seed.

    Returns:
        `(B,)` int64.

    Example:
        >>> batch = Batch(torch.tensor([[1, 2], [2, 1]]), torch.zeros(2, 2), torch.tensor([0, 0]))
        >>> bool((keys_of(batch, 7) == keys_of(batch, 7)).all()), keys_of(batch, 7).unique().shape
        (True, torch.Size([2]))
    """
    asked = batch.inputs.flatten(1)
    if asked.is_floating_point():
        asked = asked.float().view(torch.int32)
    places = _mix(torch.arange(asked.shape[1], device=asked.device))
    keys = _mix(_mix(asked.long() ^ places).sum(dim=1) ^ _mix(batch.task))
    for counter in counters:
        keys = _mix(keys ^ _signed(counter % (1 << 64)))
    return keys


def normals(keys: Tensor, like: Tensor) -> Tensor:
    """Draw standard normal numbers, those of a row from its key.

    Args:
        keys: `(B,)` int64.
        like: Gives shape, device and dtype, `(B, ...)` of floating point.

    Example:
        >>> drawn = normals(torch.arange(2), torch.zeros(2, 5000))
        >>> bool(drawn.mean().abs() < 0.05), round(drawn.std().item(), 1)
        (True, 1.0)
    """
    counters = torch.arange(like[0].numel(), device=keys.device)
    bits = _shifted(_mix(keys[:, None] ^ _mix(counters)), 64 - _BITS)
    even = (bits.float() + 0.5) * 2.0**-_BITS  # between 0 and 1
    drawn: Tensor = torch.special.ndtri(even)
    return drawn.view(like.shape).to(like.dtype)


def disturbed(carry: Carry, sigma: float, counters: tuple[int, ...]) -> Carry:
    """Add Gaussian noise of a deviation to every level of the state.

    Args:
        carry: What the slots hold; the noise is of question, age and counters.
        sigma: Standard deviation.
        counters: Any integers, such as a seed and the number of a chain.
    """
    keys = _mix(keys_of(carry.batch, *counters) ^ carry.age)
    state: Any = carry.state
    fields = {
        name: leaf + sigma * normals(_mix(keys ^ level), leaf)
        for level, (name, leaf) in enumerate(state._asdict().items())
        if leaf.is_floating_point()
    }
    return carry._replace(state=state._replace(**fields))

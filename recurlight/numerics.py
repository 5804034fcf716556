"""Numbers: how weights are drawn, and in which dtype what is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents

__all__ = ["at_least_float32", "floats", "full_precision", "linear", "relative_change", "to_compute_dtype"]
__all__ += ["truncated_normal"]


def at_least_float32(x: Tensor) -> Tensor:
    """Return `x` in float32, or untouched when it is float64.

    Example:
        >>> at_least_float32(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return x if x.dtype == torch.float64 else x.float()


def relative_change(before: Tensor, after: Tensor) -> Tensor:
    """Return `||after - before|| / ||after||` of each row, `(B,)`, in float32 or more.

    Args:
        before: `(B, ...)`.
        after: `(B, ...)`.

    Example:
        >>> relative_change(torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 4.5]]))
        tensor([0.0925])
    """
    before, after = at_least_float32(before).flatten(1), at_least_float32(after).flatten(1)
    tiny = torch.finfo(after.dtype).tiny
    norm = torch.linalg.vector_norm
    change: Tensor = norm(after - before, dim=1) / norm(after, dim=1).clamp_min(tiny)
    return change


def full_precision(x: Tensor) -> AbstractContextManager[None]:
    """Switch autocast off on the device of `x`.

    Raises:
        IncompatibleComponents: There is no device, for `x` is no tensor.
    """
    if not isinstance(x, Tensor):  # by hand: cells that call it are compiled
        raise IncompatibleComponents(f"full_precision got a {type(x).__name__} for x: give a tensor")
    if torch.compiler.is_exporting():  # it is off then, and torch loads no program that says so
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)


def to_compute_dtype(x: Tensor) -> Tensor:
    """Cast `x` to the autocast dtype of its device where autocast is on, so that later activations follow."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def _cut_std(cut: float) -> float:
    """Standard deviation of a standard normal truncated at plus and minus `cut`."""
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    mass = math.erf(cut / math.sqrt(2))
    return math.sqrt(1 - 2 * cut * density / mass)


def truncated_normal(*shape: int, std: float, generator: torch.Generator) -> Tensor:
    """Draw normal values cut at two sigma whose standard deviation is exactly `std`.

    Args:
        *shape: Shape of the result.
        std: Standard deviation after the cut.
        generator: Source of randomness, on the CPU.

    Returns:
        A tensor of that shape in torch's default dtype.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> round(truncated_normal(100_000, std=0.5, generator=generator).std().item(), 2)
        0.5
    """
    values = nn.init.trunc_normal_(torch.empty(*shape), a=-2.0, b=2.0, generator=generator)
    return values.mul_(std / _cut_std(2.0))


def linear(fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Linear:
    """Return a linear layer without bias whose weights have standard deviation `1 / sqrt(fan_in)`.

    Example:
        >>> linear(4, 8, torch.Generator().manual_seed(0)).weight.shape
        torch.Size([8, 4])
    """
    layer = nn.Linear(fan_in, fan_out, bias=False, device="meta")
    weight = truncated_normal(fan_out, fan_in, std=1 / math.sqrt(fan_in), generator=generator)
    layer.weight = nn.Parameter(weight)
    return layer


def floats(module: nn.Module) -> Iterator[Tensor]:
    """Yield the floating-point parameters and buffers of a module."""
    return (t for t in [*module.parameters(), *module.buffers()] if t.is_floating_point())

"""Initial weights of the published models, drawn from a given generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["linear", "truncated_normal"]


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

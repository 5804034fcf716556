"""Slots that go on though their policy would stop, so that late segments keep being trained."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["minimum_age"]


def minimum_age(
    slots: int, max_segments: int, exploration: float, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Draw before which age a slot may not halt: 0, or with probability `exploration` uniform in 2..max.

    Returns:
        `(slots,)` int32.

    Reference:
        HRM (arXiv:2506.21734), section 2: the minimum number of segments of Q-learning.
    """
    # in a type of its own: Lightning's precision plugins change the default, and with it every later draw
    explore = torch.rand(slots, generator=generator, device=device, dtype=torch.float32) < exploration
    age = torch.randint(
        2, max(max_segments, 2) + 1, (slots,), generator=generator, device=device, dtype=torch.int32
    )
    return age * explore

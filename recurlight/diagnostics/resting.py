"""A driver that is looked at and left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from recurlight.draw.seeding import seeded_evaluation
from recurlight.numerics import floats
from recurlight.recursion.checks import buffers_kept
from recurlight.recursion.driver import Recursion
from recurlight.refiners.base import Refiner
from recurlight.truncation.base import GradientTruncation

__all__ = ["at_rest", "lent"]


@contextmanager
def at_rest(recursion: Recursion, seed: int = 0) -> Iterator[None]:
    """Put a driver into evaluation mode and full precision, and give everything back at the end.

    That is modes, buffers and the global generators, which are seeded inside.

    Args:
        recursion: The driver.
        seed: Seed of what its parts draw inside.
    """
    device = next(floats(recursion), torch.zeros(())).device
    modes = {part: part.training for part in recursion.modules()}
    try:
        recursion.eval()
        with (
            torch.inference_mode(False),  # gradients are taken, also within a validation
            torch.compiler.set_stance("force_eager"),  # a compiled backward pass may run but once
            torch.autocast(device.type, enabled=False),
            seeded_evaluation(seed, 0, device),
            buffers_kept(recursion),
        ):
            yield
    finally:
        for part, training in modes.items():
            part.training = training


@contextmanager
def lent(
    recursion: Recursion,
    *,
    refiner: Refiner[Any] | None = None,
    truncation: GradientTruncation | None = None,
) -> Iterator[None]:
    """Give a driver another part for a while.

    Args:
        recursion: The driver.
        refiner: In place of its own, such as one that watches it; None for its own.
        truncation: Likewise.
    """
    own = recursion.refiner, recursion.truncation
    try:
        recursion.refiner, recursion.truncation = refiner or own[0], truncation or own[1]
        yield
    finally:
        recursion.refiner, recursion.truncation = own

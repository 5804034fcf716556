"""Learning-rate schedules, counted in optimizer steps."""

from __future__ import annotations

import math
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from recurlight.errors import IncompatibleComponents
from recurlight.spec.given import checked

__all__ = ["LinearWarmup", "LinearWarmupCosine", "warmup_cosine_ratio", "warmup_ratio"]


def warmup_ratio(step: int, warmup: int) -> float:
    """Return the share of the learning rate that update `step`, counted from 0, uses.

    `min(1, (step + 1) / warmup)`: the first update already moves, and update number `warmup` is the first
    with the full rate.

    Example:
        >>> [warmup_ratio(step, warmup=4) for step in range(6)]
        [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    return min(1.0, (step + 1) / max(1, warmup))


def warmup_cosine_ratio(step: int, warmup: int, total: int, floor: float) -> float:
    """Return `warmup_ratio` up to the full rate, then half a cosine down to `floor` at update `total`.

    Example:
        >>> [round(warmup_cosine_ratio(step, warmup=2, total=6, floor=0.2), 3) for step in range(8)]
        [0.5, 1.0, 0.883, 0.6, 0.317, 0.2, 0.2, 0.2]
    """
    progress = (step + 1 - warmup) / (total - warmup)
    if progress < 0:
        return warmup_ratio(step, warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class LinearWarmup(LambdaLR):
    """Raise the learning rate linearly, then keep it.

    `lr_t = lr min(1, t / warmup)` for update `t = 1, 2, ...`, as HRM and TRM count. Step it once for each
    optimizer step (`interval: step` in Lightning). Use `LinearWarmupCosine` to come down again.

    Args:
        optimizer: Its groups' learning rates are the full rate.
        warmup: Updates until the full rate; 0 starts with it.

    Raises:
        IncompatibleComponents: The warm-up is negative.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> LinearWarmup(optimizer, warmup=4).get_last_lr()
        [0.25]

    Reference:
        Goyal et al., Accurate, large minibatch SGD, arXiv:1706.02677.
    """

    @checked
    def __init__(self, optimizer: Optimizer, warmup: int = 2000) -> None:
        if warmup < 0:
            raise IncompatibleComponents(f"LinearWarmup got warmup={warmup}: give 0 or more updates")
        super().__init__(optimizer, partial(warmup_ratio, warmup=warmup))


class LinearWarmupCosine(LambdaLR):
    """Raise the learning rate linearly, then lower it along half a cosine.

    `lr_t = lr (floor + (1 - floor) (1 + cos(pi (t - warmup) / (total - warmup))) / 2)` for update
    `t >= warmup`, constant from `total` on. Step it once for each optimizer step (`interval: step` in
    Lightning). Use `LinearWarmup` where the length of the run is open.

    Args:
        optimizer: Its groups' learning rates are the full rate.
        warmup: Updates until the full rate; 0 starts with it.
        total: Updates until the floor, more than `warmup`.
        floor: Share of the full rate that remains, from 0 to 1.

    Raises:
        IncompatibleComponents: An argument is out of range.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> LinearWarmupCosine(optimizer, warmup=4, total=100, floor=0.1).get_last_lr()
        [0.25]

    Reference:
        Loshchilov and Hutter, SGDR, arXiv:1608.03983.
    """

    @checked
    def __init__(self, optimizer: Optimizer, warmup: int, total: int, floor: float = 0.0) -> None:
        if not 0 <= warmup < total:
            raise IncompatibleComponents(
                f"LinearWarmupCosine got warmup={warmup}, total={total}: give 0 <= warmup < total"
            )
        if not 0.0 <= floor <= 1.0:
            raise IncompatibleComponents(
                f"LinearWarmupCosine got floor={floor}: give a share of lr from 0 to 1"
            )
        super().__init__(optimizer, partial(warmup_cosine_ratio, warmup=warmup, total=total, floor=floor))

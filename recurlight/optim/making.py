"""An optimizer and a schedule made for a model, or refused by name."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Any

from torch import nn
from torch.optim import LBFGS, Muon, Optimizer, SparseAdam
from torch.optim.lr_scheduler import LRScheduler

from recurlight.errors import IncompatibleComponents, RecurlightError
from recurlight.optim.groups import Groups
from recurlight.optim.split import Parameters, SplitOptimizer

__all__ = ["make_optimizer", "make_schedule"]

UNFIT: dict[type[Optimizer], str] = {
    SparseAdam: "takes sparse gradients alone, and here all are dense",
    LBFGS: "evaluates the loss many times a step, and here each time would be another segment",
}


def make_optimizer(
    factory: Callable[[Iterable[Any]], Optimizer], model: nn.Module, groups: Groups | None = None
) -> Optimizer:
    """Make an optimizer of a model's parameters.

    Args:
        factory: A class of optimizers, or a partial of one.
        model: Whose parameters it gets.
        groups: Parameters with settings of their own, each group a dictionary of `parts`, see
            `recurlight.optim.chosen`, and of settings of the optimizer, or of `frozen: true`. Parameters that
            no group names are the last group of the optimizer.

    Raises:
        IncompatibleComponents: The optimizer cannot train this model, or refuses its arguments, or a group
            does not fit.

    Example:
        >>> from recurlight import AdamATan2, EveryUpdate, FixedHalting, MixerCell, Recursion, SingleRefiner
        >>> from recurlight import Sizes
        >>> refiner = SingleRefiner(MixerCell())
        >>> model = Recursion(Sizes(6, 16, 32), refiner, EveryUpdate(), FixedHalting())
        >>> slow = {"parts": ["refiner"], "lr": 1e-5}
        >>> optimizer = make_optimizer(AdamATan2, model, [slow, {"parts": ["decoder"], "frozen": True}])
        >>> [(group["name"], group["lr"], len(group["params"])) for group in optimizer.param_groups]
        [('refiner', 1e-05, 8), ('others', 0.0001, 1)]
        >>> import torch
        >>> make_optimizer(torch.optim.SparseAdam, nn.Linear(2, 2))
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: model.optimizer: SparseAdam takes sparse ...
    """
    params = Parameters(model, groups)
    with _refusals("model.optimizer"):
        optimizer = factory(params)
        if not isinstance(optimizer, SplitOptimizer):  # which divides the groups itself
            optimizer = params.made(factory, params)
    for part in optimizer.parts if isinstance(optimizer, SplitOptimizer) else [optimizer]:
        for kind, reason in UNFIT.items():
            if isinstance(part, kind):
                raise IncompatibleComponents(
                    f"model.optimizer: {kind.__name__} {reason}: use AdamATan2 or torch.optim.AdamW"
                )
    return optimizer


def make_schedule(
    factory: Callable[[Optimizer], LRScheduler], optimizer: Optimizer, model: nn.Module
) -> LRScheduler:
    """Make a schedule that keeps what the learning rates of an optimizer's groups are to each other.

    Args:
        factory: A class of schedules, or a partial of one.
        optimizer: Of the model's parameters, and its tables.
        model: Whose optimizer it is.

    Raises:
        IncompatibleComponents: The schedule refuses its arguments, or gives groups of different rates the
            same one, as `OneCycleLR` does, or leads them there, as `SWALR`.
    """
    before = [dict(group) for group in optimizer.param_groups]
    with _refusals("model.scheduler"):
        schedule = factory(optimizer)
    pairs = combinations(zip(before, optimizer.param_groups, strict=True), 2)
    if any(map(_levelled, pairs)):
        rates = ", ".join(str(group["lr"]) for group in before)
        raise IncompatibleComponents(
            f"model.scheduler: {type(schedule).__name__} gives the same learning rate to groups that have "
            f"their own, {rates}: use one that scales, such as LinearWarmupCosine"
        )
    return schedule


Rates = tuple[dict[str, Any], dict[str, Any]]
"""Settings of a parameter group, before and after a schedule was made."""


def _levelled(pair: tuple[Rates, Rates]) -> bool:
    """Tell whether a schedule begins, ends or peaks two groups at one rate that had one each."""
    (one, now), (other, then) = pair
    rates = [name for name in now if name.endswith("_lr") and name not in one]
    return one["lr"] != other["lr"] and any(now[name] == then.get(name) for name in rates)


@contextmanager
def _refusals(setting: str) -> Iterator[None]:
    """Name the setting with whose class or arguments torch is not content."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, RecurlightError):
            raise
        makers = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
        advice = "; SplitOptimizer gives it the matrices of the cells alone"
        advice = advice if any(isinstance(maker, Muon) for maker in makers) else ""
        raise IncompatibleComponents(f"{setting}: {' '.join(str(error).split())}{advice}") from error

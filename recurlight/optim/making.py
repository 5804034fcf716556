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

from recurlight.codec.task_descent import check_schedule
from recurlight.errors import IncompatibleComponents, RecurlightError
from recurlight.optim.split import Parameters, SplitOptimizer

__all__ = ["make_optimizer", "make_schedule"]

UNFIT: dict[type[Optimizer], str] = {
    SparseAdam: "takes sparse gradients alone, and here all are dense",
    LBFGS: "evaluates the loss many times a step, and here each time would be another segment",
}


def make_optimizer(factory: Callable[[Iterable[Any]], Optimizer], model: nn.Module) -> Optimizer:
    """Make an optimizer of a model's parameters.

    Args:
        factory: A class of optimizers, or a partial of one.
        model: Whose parameters it gets.

    Raises:
        IncompatibleComponents: The optimizer cannot train this model, or refuses its arguments.

    Example:
        >>> import torch
        >>> make_optimizer(torch.optim.SparseAdam, nn.Linear(2, 2))
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: model.optimizer: SparseAdam takes sparse ...
    """
    with _refusals("model.optimizer"):
        optimizer = factory(Parameters(model))
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
            same one, as `OneCycleLR` does.
    """
    before = [group["lr"] for group in optimizer.param_groups]
    with _refusals("model.scheduler"):
        schedule = factory(optimizer)
    check_schedule(optimizer, model, schedule)
    after = (group.get("initial_lr", group["lr"]) for group in optimizer.param_groups)
    pairs = zip(before, after, strict=True)
    if any(one != other and now == then for (one, now), (other, then) in combinations(pairs, 2)):
        raise IncompatibleComponents(
            f"model.scheduler: {type(schedule).__name__} gives the same learning rate to groups that have "
            f"their own, {', '.join(map(str, before))}: use one that scales, such as LinearWarmupCosine"
        )
    return schedule


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

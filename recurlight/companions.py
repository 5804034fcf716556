"""Which of Lightning's callbacks a model can be trained with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)
from torch import nn

from recurlight.errors import IncompatibleComponents

__all__ = ["require_companions"]


def require_companions(callbacks: Sequence[Callback], model: nn.Module) -> None:
    """Refuse callbacks that would fail in the middle of training, or train what nobody gets to see.

    Args:
        callbacks: Those of the trainer.
        model: What it is about to train.

    Raises:
        IncompatibleComponents: Naming the callback, and what to use instead.

    Example:
        >>> require_companions([StochasticWeightAveraging(swa_lrs=0.1)], nn.Linear(1, 1))
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: StochasticWeightAveraging ...
    """
    for reason in _refusals(callbacks, model):
        raise IncompatibleComponents(reason)


def _refusals(callbacks: Sequence[Callback], model: nn.Module) -> Iterator[str]:
    there = {kind: [one for one in callbacks if isinstance(one, kind)] for kind in _KNOWN}
    if there[StochasticWeightAveraging]:
        yield (
            "StochasticWeightAveraging neither validates nor saves the weights that it averages, and takes "
            "the place of model.scheduler: use EMAWeightAveraging or WeightAveraging"
        )
    if there[ModelPruning] and there[WeightAveraging]:
        yield (
            "ModelPruning replaces the parameters that weight averaging has copied: leave one of the two out "
            "of trainer.callbacks"
        )
    if any(getattr(finder, "_update_attr", True) for finder in there[LearningRateFinder]):
        yield (
            "LearningRateFinder has no learning rate to set, for the optimizer is made from model.optimizer: "
            "call Tuner(trainer).lr_find(model, data, update_attr=False), and give its suggestion() to the "
            "optimizer"
        )
    if there[BackboneFinetuning] and "backbone" not in dict(model.named_children()):
        yield (
            f"BackboneFinetuning trains the part `backbone` of a model later, and {type(model).__name__} has "
            "none: derive from BaseFinetuning to freeze other parts"
        )


_KNOWN = (StochasticWeightAveraging, ModelPruning, WeightAveraging, LearningRateFinder, BackboneFinetuning)

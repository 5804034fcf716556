"""What is refused before the first step, because it would end the run when there is something to lose."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.cli import ReduceLROnPlateau as MonitoringPlateau
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from recurlight.codec.backbone import Backbone
from recurlight.errors import CheckpointError, IncompatibleComponents, suggestion

__all__ = [
    "check_monitor",
    "check_monitors",
    "check_trainer",
    "may_log_others",
    "require_companions",
    "validates",
    "when_stepped",
]

KNOWN = ("recurlight", "lightning", "builtins")
"""Packages whose classes log nothing else than what is known here."""
COUNTS = ("accumulate_grad_batches", "check_val_every_n_epoch")
"""Settings of the trainer that Lightning divides by."""


SHARDING = (FSDPStrategy, ModelParallelStrategy)
"""Strategies that divide the weights of a module over devices."""


def check_trainer(trainer: Trainer, backbone: Backbone | None = None) -> None:
    """Refuse settings of the trainer with which training would break off, or mean nothing.

    Args:
        trainer: As the user made it.
        backbone: That of the model.

    Raises:
        IncompatibleComponents: A setting is out of range, weights are averaged twice, or the strategy
            divides weights and would miss those of the backbone.
        CheckpointError: Checkpoints could not be written where they belong.
    """
    for name in COUNTS:
        value = getattr(trainer, name)
        if value is not None and value < 1:
            raise IncompatibleComponents(f"trainer.{name} is {value}: set it to 1 or more")
    if backbone is not None and isinstance(trainer.strategy, SHARDING):
        raise IncompatibleComponents(
            f"{type(trainer.strategy).__name__} divides the weights of a module over devices, and those of "
            "model.backbone lie outside it, whole on every device: set trainer.strategy to ddp"
        )
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    averaging = [type(callback).__name__ for callback in callbacks if isinstance(callback, WeightAveraging)]
    if len(averaging) > 1:
        raise IncompatibleComponents(
            f"trainer.callbacks: {' and '.join(averaging)} both average the weights: keep one of them"
        )
    for writer in trainer.checkpoint_callbacks:
        if isinstance(writer, ModelCheckpoint) and writer.dirpath and trainer.is_global_zero:
            _check_folder(str(writer.dirpath))


def _check_folder(folder: str) -> None:
    """Refuse a folder below which no files can be written, without making it."""
    there = next(part for part in (Path(folder), *Path(folder).absolute().parents) if part.exists())
    reason = (
        "is a file" if not there.is_dir() else "" if os.access(there, os.W_OK | os.X_OK) else "is read-only"
    )
    if reason and "://" not in folder:
        raise CheckpointError(
            f"checkpoints cannot be written to {folder}: {there} {reason}; name another folder"
        )


def may_log_others(trainer: Trainer, *parts: object) -> bool:
    """Return whether a callback or another part is the user's own, which may log what it likes."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return any(type(part).__module__.partition(".")[0] not in KNOWN for part in (*parts, *callbacks))


def check_monitors(trainer: Trainer, figures: Collection[str] | None) -> None:
    """Refuse callbacks that wait for a figure which the run does not log.

    Args:
        trainer: Whose callbacks they are.
        figures: Names of what is logged; where they are not known, Lightning finds it out later.

    Raises:
        IncompatibleComponents: With the nearest name that is logged.
    """
    for callback, extra in _monitoring(trainer):
        if figures is not None:
            check_monitor(type(callback).__name__, str(callback.monitor), {*figures, *extra})
    for waiting in trainer.lr_scheduler_configs:  # none while the trainer is set up
        if figures is not None and waiting.reduce_on_plateau and waiting.strict:
            check_monitor(type(waiting.scheduler).__name__, str(waiting.monitor), figures)


def validates(trainer: Trainer) -> bool:
    """Return whether a run validates before a limit ends it; while the data have no length yet, it may."""
    if not trainer.enable_validation:
        return False
    epoch, every = trainer.num_training_batches, trainer.val_check_batch
    if not isinstance(epoch, int) or not isinstance(every, int):
        return True  # by the clock, or at the end of a stream
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    planned = [c.scheduling.values() for c in callbacks if isinstance(c, GradientAccumulationScheduler)]
    accumulate = max([trainer.accumulate_grad_batches, *(n for plan in planned for n in plan)])
    limits = (trainer.max_steps, accumulate), (trainer.max_epochs, epoch)
    ends = [limit * batches for limit, batches in limits if limit is not None and limit >= 0]
    begun = trainer.fit_loop.total_batch_idx + 1 if trainer.training else 0
    rest = range(begun, min(ends)) if ends else ()
    return not ends or any(_validated_after(trainer, batch, epoch, every) for batch in rest)


def _validated_after(trainer: Trainer, batch: int, epoch: int, every: int) -> bool:
    """Return whether Lightning validates after a training batch, numbered from 0 in the run."""
    epochs = trainer.check_val_every_n_epoch
    if epochs is None:
        return (batch + 1) % every == 0
    return (batch // epoch + 1) % epochs == 0 and (batch % epoch + 1) % every == 0


def when_stepped(
    schedule: LRScheduler, figures: Callable[[], Collection[str] | None]
) -> LRSchedulerConfigType:
    """Say when Lightning steps a schedule: after every step, or every epoch if it waits for a figure.

    Args:
        schedule: As the model's `scheduler` makes it.
        figures: Tells the names of what is logged, if they are known.

    Raises:
        IncompatibleComponents: Nothing says for which figure it waits, or that is not logged.
    """
    if not isinstance(schedule, ReduceLROnPlateau):
        return {"scheduler": schedule, "interval": "step"}
    if not isinstance(schedule, MonitoringPlateau):
        raise IncompatibleComponents(
            "model.scheduler: ReduceLROnPlateau waits for a figure that it does not name: use "
            "lightning.pytorch.cli.ReduceLROnPlateau, which takes a monitor, such as val/loss"
        )
    known = figures()
    if known is not None:
        check_monitor("ReduceLROnPlateau", schedule.monitor, known)
    return {"scheduler": schedule, "interval": "epoch", "monitor": schedule.monitor}


def _monitoring(trainer: Trainer) -> Iterator[tuple[EarlyStopping | ModelCheckpoint, tuple[str, ...]]]:
    """Yield what waits for a figure, and the names beside the figures that it understands."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ModelCheckpoint) and callback.monitor is not None:
            yield callback, ("epoch", "step")
        if isinstance(callback, EarlyStopping) and callback.strict:
            yield callback, ()


def check_monitor(who: str, monitor: str, figures: Collection[str]) -> None:
    """Refuse to wait for a figure that is not logged.

    Raises:
        IncompatibleComponents: With the nearest name that is.

    Example:
        >>> check_monitor("EarlyStopping", "val/loss", {"loss", "val/loss"})
        >>> check_monitor("EarlyStopping", "val_loss", {"loss", "val/loss"})
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: EarlyStopping monitors 'val_loss', ...'val/loss'?
    """
    if monitor not in figures and not monitor.startswith("lr-"):  # those are of LearningRateMonitor
        if monitor.startswith("val/") and not any(name.startswith("val/") for name in figures):
            raise IncompatibleComponents(
                f"{who} monitors '{monitor}', and this run ends before it validates: let it train longer, "
                "validate sooner by trainer.val_check_interval, or monitor a figure of training"
            )
        known = suggestion(monitor, figures) or f": it logs {', '.join(sorted(figures))}"
        raise IncompatibleComponents(f"{who} monitors '{monitor}', which this run does not log{known}")


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

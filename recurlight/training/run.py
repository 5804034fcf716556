"""What a training run keeps besides weights and optimizer, and its exact resumption.

A checkpoint that is written between two optimizer steps is resumed to the bit. One that is written elsewhere,
amid an accumulated step or after an error, says that it is not: nobody keeps the gradients of that moment.
"""

from __future__ import annotations

from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from typing_extensions import override

from recurlight.checkpoints.contents import curricula_in, made_with
from recurlight.checkpoints.weights import require_same_optimizer
from recurlight.draw.seeding import seed_batch
from recurlight.errors import CheckpointMismatch
from recurlight.optim.averaging import SteadyAverage
from recurlight.ranks import world_size
from recurlight.training.carries import Carries
from recurlight.training.progress import Progress
from recurlight.training.stated import spelled, stated_callbacks

__all__ = ["RUN_KEY", "Run", "steps_of"]

RUN_KEY = "run"
"""Where a checkpoint holds it."""


class Run(Callback):
    """The carry of each micro-batch and the running figures; `RecursiveModule` brings it to its trainer.

    At each training batch it seeds the global generators; see `seed_batch`.

    Args:
        seed: Seed of the global generators.
        save_carry: Write the carry into checkpoints.
    """

    def __init__(self, seed: int = 0, save_carry: bool = True) -> None:
        self.seed, self.save_carry = seed, save_carry
        self.carries, self.progress = Carries(), Progress()
        self._step: int | None = None  # optimizer steps taken when the newest batch began
        self._ended = 0  # the `id` of the trainer that did; itself, it would be copied with the model

    def ended_in(self, trainer: Trainer) -> bool:
        """Return whether the weights are those with which this trainer ended, as far as training goes."""
        return self._ended == id(trainer)

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget what an earlier run has left; this one's checkpoint is read after it.

        An average that an earlier `fit` has left would take the place of the weights in validation, though
        they may have been trained further since, or be those of another model.
        """
        if stage == "fit":
            self.carries.loaded = {}  # those of its steps the module clears when it begins to train
            self.progress.load_state_dict(Progress().state_dict())
            self._step, self._ended = None, 0
        else:
            for callback in _averages(trainer):
                callback._average_model = None

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring averages to the device, and tell schedules of accumulation the epoch."""
        for callback in _averages(
            trainer
        ):  # made before the model was moved: each step would fetch all weights
            if callback._average_model is not None and callback._device is None:
                callback._average_model = SteadyAverage(callback._average_model, pl_module.device)
        for scheduler in _schedulers(trainer):  # which hear of an epoch only where it begins, not amid it
            scheduler.on_train_epoch_start(trainer)

    @override
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._step = trainer.global_step  # by which `_flaw` sees that a step is under way
        seed_batch(self.seed, trainer.fit_loop.total_batch_idx, pl_module.device)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended = id(trainer)

    @override
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what the run keeps, and whether training goes on from it exactly."""
        if self.ended_in(trainer) and _averages(trainer):
            checkpoint.setdefault("averaging_state", {})  # of what is averaged, though nobody averages on
        if trainer.state.fn != TrainerFn.FITTING:
            return
        flaw = self._flaw(trainer, averaging="current_model_state" in checkpoint)
        # After an error or amid a step this rank may be alone, and gathering would wait for the others.
        together = world_size() == 1 or not flaw
        checkpoint[RUN_KEY] = {
            "accumulate": trainer.accumulate_grad_batches,
            "steps": steps_of(trainer),
            "progress": self.progress.state_dict(),
            "carry": self.carries.pack() if self.save_carry and together else {},
            "inexact": flaw,
        }
        loop = checkpoint["loops"]["fit_loop"]
        _give_back(loop)
        _turn_epoch(loop, trainer.num_training_batches, trainer.global_step)

    def _flaw(self, trainer: Trainer, averaging: bool) -> str:
        """Say why training does not go on exactly from a checkpoint that is written now, if so."""
        if trainer.interrupted:
            return "was written after an error"
        if trainer.global_step == self._step:
            return "was written in the middle of an optimizer step, whose gradients it does not hold"
        if self._ended and averaging:
            return "was written after training, when averaged weights had taken the place of the others"
        return ""

    @override
    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take over what a checkpoint keeps.

        Raises:
            CheckpointMismatch: Its optimizer, or the number of micro-batches of its steps, was another.
        """
        if trainer.state.fn != TrainerFn.FITTING:
            return
        require_same_optimizer(pl_module, checkpoint)
        kept: dict[str, Any] = checkpoint.get(RUN_KEY, {})
        now = trainer.accumulate_grad_batches  # not yet this epoch's where a scheduler sets it
        if not _schedulers(trainer) and (then := kept.get("accumulate", now)) != now:
            raise CheckpointMismatch(
                f"the checkpoint was written with accumulate_grad_batches {then} and this run has "
                f"{now}: set trainer.accumulate_grad_batches to {then}"
            )
        self.carries.loaded = kept.get("carry", {})  # for the slots, which the first batches open
        self.progress.load_state_dict(kept.get("progress", self.progress.state_dict()))
        flaw: str = kept.get("inexact", "")
        if not flaw and self.save_carry and not self.carries.loaded and checkpoint["global_step"]:
            flaw = "holds no carry, so that every slot begins with a fresh sample"
        seed = made_with(checkpoint).get("seed", self.seed)
        if not flaw and seed != self.seed:
            flaw = f"is of a run with model.seed {seed} and this one has {self.seed}"
        then, here = curricula_in(checkpoint), stated_callbacks(trainer)
        if not flaw and then != here:
            flaw = f"is of a run with {spelled(then)} and this one has {spelled(here)}"
        if flaw:
            rank_zero_warn(f"the checkpoint {flaw}: training goes on, but not as without the interruption")


def steps_of(trainer: Trainer) -> int | None:
    """Return the optimizer steps of a whole run; None where no end is known."""
    try:
        total = trainer.estimated_stepping_batches
    except MisconfigurationException:  # the accumulation changes with the epoch
        return None
    return int(total) if 0 < total < float("inf") else None


def _averages(trainer: Trainer) -> list[WeightAveraging]:
    """Return the callbacks that average weights."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, WeightAveraging)]


def _schedulers(trainer: Trainer) -> list[GradientAccumulationScheduler]:
    """Return the callbacks that set the accumulation of each epoch."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, GradientAccumulationScheduler)]


def _give_back(loop: dict[str, Any]) -> None:
    """Let our loader serve a batch that was broken off again, as Lightning counts it again."""
    # An error ends a batch between the two counts; the loader had counted it as served by then.
    count = loop["epoch_loop.batch_progress"]["current"]
    for loader in loop["state_dict"].get("combined_loader", []):
        if "served" in loader:
            loader["served"] -= count["ready"] - count["processed"]


def _turn_epoch(loop: dict[str, Any], length: float, steps: int) -> None:
    """Let a checkpoint of the end of an epoch say what Lightning resumes from rightly.

    Left alone, Lightning ends such an epoch once more when it resumes, so that the data skip one; and it
    takes an epoch that was cut off, by a stop or `max_steps`, for a whole one. So the end of an epoch is told
    as the start of the next, and that of a cut-off one as the end of its latest batch.

    Args:
        loop: State of the fit loop, changed in place.
        length: Batches of an epoch.
        steps: Optimizer steps of the run.
    """
    batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]
    if epochs["total"]["processed"] < epochs["total"]["started"] or not batches["total"]["ready"]:
        return
    whole = batches["is_last_batch"] or batches["current"]["ready"] == length
    for name in ("total", "current"):
        # Lightning reads the place from the counts alone: it begins an epoch that is ready and not started,
        # and goes on with one that is started and not processed.
        over = epochs[name]["started"] - (not whole)
        epochs[name].update(ready=over + 1, processed=over, completed=over)
        # One batch short, as where a batch has just ended: Lightning counts that one when it resumes, ...
        batches[name]["completed"] = batches[name]["ready"] - 1
    batches["is_last_batch"] = False
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] = steps - 1  # ... and its step

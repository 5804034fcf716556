"""What a run leaves behind when an error ends it."""

from __future__ import annotations

import traceback
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch.optim import Optimizer

from recurlight.callbacks.guards.saved import checkpoint_folder, last_saved, readable
from recurlight.codec.tokens import Decoder, Encoder
from recurlight.data import PuzzleData
from recurlight.errors import CheckpointError, Interrupted, NonFiniteError
from recurlight.halting import Halting
from recurlight.losses import SequenceLoss
from recurlight.refiners import Refiner
from recurlight.truncation import GradientTruncation
from recurlight.types import Sized

__all__ = ["SaveOnFailure", "component"]

PARTS = (
    *(Refiner, GradientTruncation, Halting, Sized, Encoder, Decoder, SequenceLoss),
    *(Optimizer, PuzzleData, Callback, LightningModule),
)

FILE = "failed.ckpt"

COMPLETE = (CheckpointError, Interrupted, NonFiniteError)
"""Errors that say everything themselves, and after which nothing must be saved."""


def component(error: BaseException) -> str:
    """Return the class and method in which an error arose: the innermost one of the composition.

    Example:
        >>> from recurlight import LastCycles
        >>> try:
        ...     LastCycles(1).mask(("latent",), None)
        ... except TypeError as error:
        ...     component(error)
        'recurlight.truncation.window.LastCycles.mask'
    """
    found = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        owner = frame.f_locals.get("self")
        if isinstance(owner, PARTS):
            found = f"{type(owner).__module__}.{type(owner).__qualname__}.{frame.f_code.co_name}"
    return found


class SaveOnFailure(Callback):
    """Tells of an error that ends `fit` in which step and class it arose, and saves what the run had reached.

    The checkpoint, `failed.ckpt` beside the run's others, holds weights, optimizer and averages as the last
    complete step left them: a run resumed from it does the batch that failed again. It is not written for
    errors inside the optimizer or in validation, when the weights may be half updated or swapped, nor with
    several ranks, of which only some may have failed; the error then names the last regular checkpoint.

    The command line adds it to `fit`, before all other callbacks.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[SaveOnFailure()], accelerator="cpu", logger=False)
    """

    def __init__(self) -> None:
        self.began = self.updating = -1
        self.inside = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember where the run began: there is nothing to rescue before its first step."""
        self.began, self.updating, self.inside = trainer.global_step, -1, False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """From here on the weights are those of a complete step."""
        self.inside = True

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """From here on they are not, until the step is counted."""
        self.updating = trainer.global_step

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Averaged weights may take the place of the weights."""
        self.inside = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The next epoch's first batch begins anew."""
        self.inside = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say where it happened, and save what can be saved."""
        if not isinstance(exception, Exception) or isinstance(exception, COMPLETE):
            return
        if trainer.state.fn != TrainerFn.FITTING or self.began < 0:
            return
        step = trainer.global_step
        place = f"in training step {step + 1}" if self.inside else f"after training step {step}"
        if owner := component(exception):
            place += f", in {owner}"
        exception.add_note(f"{place}; {self._rescue(trainer)}")

    def _rescue(self, trainer: Trainer) -> str:
        """Save if that is safe, and say what there is to go on from."""
        folder, step = checkpoint_folder(trainer), trainer.global_step
        sound = self.inside and self.updating != step and step > self.began
        if folder is None or not sound or trainer.world_size > 1:
            saved = last_saved(trainer)
            return f"the last checkpoint is {saved}" if saved else "no checkpoint was written before"
        try:
            trainer.save_checkpoint(folder / FILE)
        except Exception as error:
            return f"the last checkpoint is {last_saved(trainer)}, another could not be written: {error}"
        return f"the weights after step {step} are saved: --ckpt_path {readable(folder / FILE)}"

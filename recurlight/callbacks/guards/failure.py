"""What a run leaves behind when an error ends it."""

from __future__ import annotations

import traceback

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch.optim import Optimizer

from recurlight.callbacks.guards.saved import checkpoint_folder, last_saved, readable
from recurlight.errors import CheckpointError, Interrupted, NonFiniteError
from recurlight.spec import Recorded

__all__ = ["SaveOnFailure", "component"]

PARTS = (Recorded, Optimizer, Callback, LightningModule)

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

    The checkpoint, `failed.ckpt` beside the run's others, holds what there was in that moment: a run that
    goes on from it does the batch that failed again, and warns that it is not exact. It is not written for
    errors in validation, when averaged weights may stand in for the weights, nor with several ranks, of which
    only some may have failed; the error then names the last regular checkpoint.

    The command line adds it to `fit`, before all other callbacks.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(callbacks=[SaveOnFailure()], accelerator="cpu", logger=False)
    """

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say where it happened, and save what can be saved."""
        if not isinstance(exception, Exception) or isinstance(exception, COMPLETE):
            return
        if trainer.state.fn != TrainerFn.FITTING or trainer.fit_loop.total_batch_idx < 0:
            return  # there is nothing to tell or to rescue before the first batch
        step, batch = trainer.global_step, trainer.fit_loop.epoch_loop.batch_progress.current
        inside = batch.processed < batch.ready  # type: ignore[attr-defined]  # any tracker, for mypy
        place = f"in training step {step + 1}" if inside else f"after training step {step}"
        if owner := component(exception):
            place += f", in {owner}"
        exception.add_note(f"{place}; {_rescue(trainer)}")


def _rescue(trainer: Trainer) -> str:
    """Save if that is safe, and say what there is to go on from."""
    folder, step = checkpoint_folder(trainer), trainer.global_step
    if folder is None or not step or not trainer.training or trainer.world_size > 1:
        return last_saved(trainer)
    try:
        trainer.save_checkpoint(folder / FILE)
    except Exception as error:
        return f"{last_saved(trainer)}, another could not be written: {error}"
    return f"the weights after step {step} are saved: --ckpt_path {readable(folder / FILE)}"

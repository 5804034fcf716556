"""What a run leaves behind when an error ends it."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from recurlight.callbacks.guards.saved import checkpoint_folder, last_saved, readable
from recurlight.errors import CheckpointError, CheckpointMismatch, Interrupted, NonFiniteError

__all__ = ["SaveOnFailure"]

FILE = "failed.ckpt"

COMPLETE = (CheckpointError, CheckpointMismatch, Interrupted, NonFiniteError)
"""Errors that say everything themselves, and after which nothing must be saved."""


class SaveOnFailure(Callback):
    """Tells of an error that ends `fit` in which step it arose, and saves what the run had reached.

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

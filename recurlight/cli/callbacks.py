"""What the command line adds to a trainer's callbacks, and which it refuses."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, callbacks

from recurlight import callbacks as ours
from recurlight.cli.explain.check import UsageError
from recurlight.cli.merge import several
from recurlight.data import PuzzleData

__all__ = ["all_callbacks"]


def all_callbacks(trainer: Mapping[str, Any], subcommand: str, data: PuzzleData) -> list[Callback]:
    """Return the callbacks that settings of the trainer name, and those that belong to every run.

    The latter are a `ModelCheckpoint` of the last step, written at the end of every epoch and of the run,
    and a progress bar, or lines where no terminal shows it, unless they are named or switched off; for `fit`
    what ends it well, and for `predict` the writer of predictions that the data name.

    Raises:
        UsageError: One would resume unasked.
    """
    given = several(trainer.get("callbacks"))

    def lacks(*kinds: type) -> bool:
        return not any(isinstance(callback, kinds) for callback in given)

    if not lacks(callbacks.OnExceptionCheckpoint):
        raise UsageError(
            ("trainer", "callbacks"),
            "with OnExceptionCheckpoint the next run would go on from its file unasked, and delete it; "
            "leave it out: after an error fit saves failed.ckpt by itself",
        )
    fit = subcommand == "fit"
    before: list[Callback] = [ours.SaveOnFailure()] if fit else []
    # after the user's, which may change weights
    guards = (ours.StopOnNonFinite, ours.StopOnSignal) if fit else ()
    added: list[Callback] = [guard() for guard in guards if lacks(guard)]
    # any other callback that saves may do so in an emergency alone
    if trainer.get("enable_checkpointing") is not False and lacks(callbacks.ModelCheckpoint):
        added.append(callbacks.ModelCheckpoint(save_last=True, save_on_train_epoch_end=True))
    if trainer.get("enable_progress_bar") is not False and lacks(callbacks.ProgressBar):
        terminal = sys.stdout.isatty()
        added.append(callbacks.TQDMProgressBar(refresh_rate=10) if terminal else ours.ProgressLines())
    writers = (callbacks.BasePredictionWriter, ours.PredictionWriter, ours.SubmissionWriter)
    if subcommand == "predict" and lacks(*writers):
        home, _, name = data.prediction_writer.rpartition(".")
        added.append(getattr(importlib.import_module(home), name)())
    return [*before, *given, *added]

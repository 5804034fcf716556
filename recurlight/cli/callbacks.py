"""What the command line adds to a trainer: its configuration on disk, and defaults."""

from __future__ import annotations

import importlib
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BasePredictionWriter,
    ModelCheckpoint,
    OnExceptionCheckpoint,
    ProgressBar,
    TQDMProgressBar,
)
from lightning.pytorch.cli import SaveConfigCallback
from typing_extensions import override

from recurlight.callbacks import PredictionWriter, StopOnNonFinite, StopOnSignal, SubmissionWriter
from recurlight.cli.explain.check import UsageError
from recurlight.data import PuzzleData

__all__ = ["SaveRun", "default_callbacks", "require_runnable"]


class SaveRun(SaveConfigCallback):
    """Keeps the whole configuration beside the logs of `fit`."""

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and trainer.loggers:  # without a logger the folder would be the current one
            super().setup(trainer, pl_module, stage)


def default_callbacks(trainer: dict[str, Any], subcommand: str, data: PuzzleData) -> list[Callback]:
    """Return a `ModelCheckpoint` and a progress bar for settings of the trainer that name neither.

    The checkpoint is of the last step, written at the end of every epoch and of the run; `fit` gets what ends
    it well, and `predict` the writer of predictions that the data name.
    """
    given = trainer.get("callbacks") or []
    given = given if isinstance(given, list) else [given]
    added: list[Callback] = []
    if subcommand == "fit":  # after the user's, which may change weights
        guards = (StopOnNonFinite, StopOnSignal)
        added += [guard() for guard in guards if not any(isinstance(c, guard) for c in given)]
    saves = any(isinstance(c, ModelCheckpoint) for c in given)  # others may save in an emergency alone
    if trainer.get("enable_checkpointing") is not False and not saves:
        added.append(ModelCheckpoint(save_last=True, save_on_train_epoch_end=True))
    if trainer.get("enable_progress_bar") is not False and not any(isinstance(c, ProgressBar) for c in given):
        added.append(TQDMProgressBar(refresh_rate=10))
    writers = (BasePredictionWriter, PredictionWriter, SubmissionWriter)
    if subcommand == "predict" and not any(isinstance(c, writers) for c in given):
        home, _, name = data.prediction_writer.rpartition(".")
        added.append(getattr(importlib.import_module(home), name)())
    return added


def require_runnable(trainer: Trainer) -> None:
    """Refuse callbacks that resume unasked.

    Raises:
        UsageError: Naming the callback.
    """
    if any(isinstance(callback, OnExceptionCheckpoint) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        raise UsageError(
            ("trainer", "callbacks"),
            "with OnExceptionCheckpoint the next run would go on from its file unasked, and delete it; "
            "leave it out: after an error fit saves failed.ckpt by itself",
        )

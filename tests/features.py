"""One run with one feature of Lightning, and what is compared with a plain run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import pytest
import torch
from helpers import mixer
from lightning.pytorch import callbacks as shipped
from lightning.pytorch.loggers.logger import DummyLogger
from resuming import BATCH, Shifts, model

from recurlight.training.module import RecursiveModule

EPOCH, STEPS = 3, 6
"""Batches of an epoch and of a run."""

HOUR, NOTHING = timedelta(hours=1), timedelta(0)

MACHINE = {"accelerator": "cpu", "strategy": "auto", "devices": 1, "num_nodes": 1, "max_steps": STEPS}
QUIET = {
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "logger": False,
    "num_sanity_val_steps": 0,
}
FIGURES = ("val/loss", "val/token_accuracy", "val/segments")


class Notes(DummyLogger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.figures: dict[str, list[float]] = {}

    @property
    def save_dir(self) -> str:
        return "."

    def log_metrics(self, metrics, step=None):
        for name, value in metrics.items():
            self.figures.setdefault(name, []).append(float(value))


class Look(pl.Callback):
    """Keeps questions, losses and weights of each batch, and figures of each validation."""

    def __init__(self) -> None:
        self.questions: list[torch.Tensor] = []
        self.losses: list[float] = []
        self.weights: list[list[torch.Tensor]] = []
        self.validated: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.questions.append(batch.inputs)
        self.losses.append(outputs["loss"].item())
        self.weights.append([weight.detach().clone() for weight in pl_module.parameters()])

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking and not trainer.barebones:
            self.validated.append({name: trainer.callback_metrics[name].item() for name in FIGURES})


class Fit(NamedTuple):
    """What a run left."""

    look: Look
    trainer: pl.Trainer
    model: RecursiveModule
    data: Shifts
    folder: Path


Check = Callable[[Fit, Fit], None]
"""`(run with the feature, plain run of twice the length) -> None`."""

Row = tuple[Callable[[Path], dict[str, Any]], Check]
"""Makes the trainer's settings, given a folder, and the check."""


def prepared(folder: Path, settings: dict[str, Any]) -> Fit:
    """Make all that a run needs."""
    look, callbacks = Look(), settings.pop("callbacks", [])
    saves = {"enable_checkpointing": any(isinstance(one, shipped.Checkpoint) for one in callbacks)}
    base = MACHINE | QUIET | saves | {"default_root_dir": folder}
    trainer = pl.Trainer(**(base | settings), callbacks=[look, *callbacks])
    return Fit(look, trainer, model(cell=mixer()), Shifts(epoch_samples=EPOCH * BATCH), folder)


def fit(folder: Path, resume: Path | None = None, **settings: Any) -> Fit:
    found = prepared(folder, settings)
    found.trainer.fit(found.model, found.data, ckpt_path=resume, weights_only=True if resume else None)
    return found


def same(found: Fit, plain: Fit) -> None:
    """The feature changes nothing."""
    assert found.look.losses == plain.look.losses[:STEPS]
    assert found.look.validated == plain.look.validated[: STEPS // EPOCH]


def first(steps: int) -> Check:
    """Return a check that the run ended after so many steps."""

    def check(found: Fit, plain: Fit) -> None:
        assert found.look.losses == plain.look.losses[:steps]
        assert found.trainer.global_step == steps

    return check


def wrote(*names: str) -> Check:
    """Return a check for the files of an otherwise plain run."""

    def check(found: Fit, plain: Fit) -> None:
        same(found, plain)
        assert {path.name for path in found.folder.rglob("*.ckpt")} == set(names)

    return check


def logged(name: str) -> Check:
    """Return a check that a figure reached the logger."""

    def check(found: Fit, plain: Fit) -> None:
        same(found, plain)
        assert any(name in key for key in found.trainer.logger.figures)

    return check


def has_bar(found: Fit, plain: Fit) -> None:
    same(found, plain)
    assert found.trainer.progress_bar_callback is not None


def saver(folder: Path, **settings: Any) -> shipped.ModelCheckpoint:
    return shipped.ModelCheckpoint(folder, filename="{step}", auto_insert_metric_name=False, **settings)


def rows(table: dict[str, list[Row]]) -> list[Any]:
    """Return one parameter set for each row of a table."""
    named = ((f"{name}-{at}", row) for name, several in table.items() for at, row in enumerate(several))
    return [pytest.param(*row, id=name) for name, row in named]

"""A small run with everything that an interruption could disturb, and what is compared afterwards."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
from helpers import mixer, opinionated
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers.logger import DummyLogger
from torch import nn

from recurlight.data import PuzzleData
from recurlight.data.base import Splits
from recurlight.data.stream import Puzzles
from recurlight.halting import CorrectnessHalting
from recurlight.module import RecursiveModule
from recurlight.optim import AdamATan2, LinearWarmup
from recurlight.refiners import TwoLevelRefiner
from recurlight.truncation import LastCycles

EPOCH, BATCH = 6, 8


class Shifts(PuzzleData):
    """The answer is the question moved by one; augmentation moves both."""

    def __init__(self, **settings) -> None:
        base = {"batch_size": BATCH, "epoch_samples": EPOCH * BATCH}
        super().__init__(vocab_size=6, grid_shape=(4, 4), **(base | settings))

    def load(self) -> Splits:
        draw = np.random.default_rng(0)
        parts = (draw.integers(1, 6, size=(rows, 16)) for rows in (20, 5, 5))
        return Splits(*(Puzzles(part, np.roll(part, 1, 1), np.zeros(len(part), np.int64)) for part in parts))

    def augmentation(self):
        return moved

    def render(self, tokens) -> str:
        return " ".join(map(str, tokens))


def moved(puzzles: Puzzles, keys) -> Puzzles:
    places = (np.arange(16) + (keys % np.uint64(16))[:, None].astype(np.int64)) % 16
    rows = np.arange(len(places))[:, None]
    return puzzles._replace(inputs=puzzles.inputs[rows, places], labels=puzzles.labels[rows, places])


class Unsteady(nn.Module):
    """A user's cell that draws from every global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = mixer()

    def forward(self, state):
        if self.training:
            state = nn.functional.dropout(state, 0.1) * (1 + 0.01 * random.random())
            state = state * (1 + 0.01 * np.random.random())  # noqa: NPY002
        return self.cell(state)


def model(**settings) -> RecursiveModule:
    base = {"vocab_size": 6, "seq_len": 16, "width": 8, "cycles": 2, "max_segments": 4, "exploration": 0.3}
    base |= {
        "optimizer": partial(AdamATan2, lr=0.01),
        "scheduler": partial(LinearWarmup, warmup=12),
    }
    made = RecursiveModule(
        refiner=TwoLevelRefiner(Unsteady(), latent_steps=1),
        truncation=LastCycles(1),
        halting=CorrectnessHalting(),
        **(base | settings),
    )
    opinionated(made.recursion, spread=0.5)
    return made


class Log(DummyLogger):
    """Every figure with its step."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))

    def training(self) -> dict[int, dict[str, float]]:
        return {step: row for step, row in self.rows if "loss" in row}


class Losses(pl.Callback):
    """The loss of every training batch by its number in the run."""

    def __init__(self) -> None:
        self.found: dict[int, float] = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.found[trainer.fit_loop.total_batch_idx] = outputs["loss"].item()


class Everywhere(pl.callbacks.Checkpoint):
    """Writes a checkpoint at every moment at which a callback may; the last of the callbacks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, trainer, moment: str) -> None:
        if trainer.sanity_checking:
            return
        trainer.save_checkpoint(self.folder / f"{trainer.fit_loop.total_batch_idx + 1:02}-{moment}.ckpt")

    def on_train_batch_end(self, trainer, *_):
        self.save(trainer, "batch")

    def on_validation_end(self, trainer, *_):
        self.save(trainer, "validation")

    def on_train_epoch_end(self, trainer, *_):
        self.save(trainer, "epoch")


def fit(
    made: RecursiveModule, *callbacks, workers=0, resume=None, steps=2 * EPOCH + 3, data=None, **settings
):
    """Train, and return everything that training leaves behind."""
    losses, log, average = Losses(), Log(), EMAWeightAveraging(decay=0.9, use_buffers=False)
    base = {"accelerator": "cpu", "devices": 1, "max_steps": steps, "log_every_n_steps": 1}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    base |= {"num_sanity_val_steps": 0, "use_distributed_sampler": False, **quiet}
    if not any(isinstance(callback, pl.callbacks.Checkpoint) for callback in callbacks):
        base["enable_checkpointing"] = False
    trainer = pl.Trainer(logger=log, callbacks=[average, losses, *callbacks], **(base | settings))
    trainer.fit(made, data or Shifts(num_workers=workers), ckpt_path=resume)
    return trainer, made, losses, log, average

"""A small run with everything that an interruption could disturb, and what is compared after it."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from helpers import mixer, opinionated
from lightning.pytorch.callbacks import Checkpoint, EMAWeightAveraging
from lightning.pytorch.loggers.logger import DummyLogger
from noisy import DrawnWindow
from torch import Tensor, nn

from recurlight import draw
from recurlight.data import PuzzleData
from recurlight.data.base import Splits
from recurlight.data.puzzles import Puzzles
from recurlight.halting import CorrectnessHalting
from recurlight.optim import AdamATan2, LinearWarmup
from recurlight.refiners import TwoLevelRefiner, TwoLevelState
from recurlight.training.module import RecursiveModule

EPOCH, BATCH = 6, 8

SETTINGS = {
    "plain": {"max_steps": 15},
    "often validated": {"max_epochs": 2, "val_check_interval": 2},
    "accumulating": {"max_steps": 7, "accumulate_grad_batches": 4},
}
"""Trainers. Accumulating, an epoch of 6 batches has a step of 4 and one of 2."""

POINTS = {
    "plain": [
        *(f"{batches:02}-batch" for batches in range(1, 15)),
        *("06-validation", "06-epoch", "12-validation", "12-epoch"),
    ],
    "often validated": ["02-validation", "04-batch", "06-validation", "06-epoch", "08-validation"],
    "accumulating": [
        *(f"{batches:02}-batch" for batches in (4, 6, 10, 12, 16, 18)),
        *("06-validation", "06-epoch", "18-epoch"),
    ],
}
"""Moments between two steps at which `Everywhere` writes a checkpoint: after which batch, in which hook."""

AMID = ["01-batch", "02-batch", "05-batch", "09-batch", "11-batch", "21-batch"]
"""Moments amid an accumulated step."""


class Shifts(PuzzleData):
    """The answer is the question moved by one; augmentation moves both."""

    def __init__(self, test: int = 5, **settings) -> None:
        base = {"batch_size": BATCH, "epoch_samples": EPOCH * BATCH}
        super().__init__(vocab_size=6, grid_shape=(4, 4), **(base | settings))
        self.test = test

    def load(self) -> Splits:
        numbers = np.random.default_rng(0)
        parts = (numbers.integers(1, 6, size=(rows, 16)) for rows in (20, 5, self.test))
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
    """A user's cell that draws from every global generator, by the rule and past it, in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = mixer()

    def forward(self, state: Tensor) -> Tensor:
        scale = 1 + 0.01 * random.random() + 0.01 * np.random.random()  # noqa: NPY002
        return self.cell(nn.functional.dropout(draw.dropout(state * scale, 0.1), 0.1, training=True))


class Restless(TwoLevelRefiner):
    """Starts anywhere, and adds noise to every update."""

    stationary = False

    def initial_state(self, injection: Tensor) -> TwoLevelState:
        return TwoLevelState(*(draw.normal(injection) for _ in range(2)))

    def update(self, state: TwoLevelState, injection: Tensor, level: str) -> TwoLevelState:
        return super().update(state, injection + 0.01 * draw.normal(injection), level)


def model(**settings) -> RecursiveModule:
    sizes = {"vocab_size": 6, "seq_len": 16, "width": 8, "cycles": 2, "max_segments": 4}
    base = {
        "exploration": 0.3,
        "optimizer": partial(AdamATan2, lr=0.01),
        "scheduler": partial(LinearWarmup, warmup=12),
    }
    refiner = Restless(settings.pop("cell", None) or Unsteady(), latent_steps=1)
    truncation = settings.pop("truncation", None) or DrawnWindow()
    made = RecursiveModule(
        refiner=refiner, truncation=truncation, halting=CorrectnessHalting(), **(sizes | base | settings)
    )
    opinionated(made.recursion, spread=0.5)
    return made


class Log(DummyLogger):
    """The training figures of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, dict[str, float]] = {}

    def log_metrics(self, metrics, step=None):
        if "loss" in metrics:
            self.rows[step] = dict(metrics)


class Left(pl.Callback):
    """What training leaves behind: before averaged weights, if any, take the place of the others."""

    def __init__(self) -> None:
        self.losses: dict[int, float] = {}
        self.state: dict = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses[trainer.fit_loop.total_batch_idx] = outputs["loss"].item()

    def on_train_end(self, trainer, pl_module):
        (average,) = (c for c in trainer.callbacks if isinstance(c, EMAWeightAveraging))
        self.state = {
            "weights": {name: value.clone() for name, value in pl_module.state_dict().items()},
            "average": {name: value.clone() for name, value in average._average_model.state_dict().items()},
            "optimizer": trainer.optimizers[0].state_dict(),
            "schedule": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
            "carry": {micro: carry._asdict() for micro, carry in pl_module.carries.items()},
            "progress": pl_module.progress.state_dict(),
            "counters": (trainer.global_step, trainer.fit_loop.total_batch_idx, trainer.current_epoch),
        }


class Everywhere(Checkpoint):
    """Writes a checkpoint at every moment at which a callback may."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, trainer, moment: str) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.fit_loop.total_batch_idx + 1:02}-{moment}.ckpt")

    def on_train_batch_end(self, trainer, *_):
        self.save(trainer, "batch")

    def on_validation_end(self, trainer, *_):
        self.save(trainer, "validation")

    def on_train_epoch_end(self, trainer, *_):
        self.save(trainer, "epoch")


class Fitted:
    """A trainer after `fit`, and what it left."""

    def __init__(self, *callbacks, made=None, data=None, workers=0, resume=None, **settings) -> None:
        self.log, self.left = Log(), Left()
        saves = any(isinstance(callback, Checkpoint) for callback in callbacks)
        base = {"accelerator": "cpu", "devices": 1, "log_every_n_steps": 1, "num_sanity_val_steps": 0}
        base |= {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": saves}
        average = EMAWeightAveraging(decay=0.9, use_buffers=False)
        self.made = made or model()
        self.trainer = pl.Trainer(
            logger=self.log, callbacks=[self.left, average, *callbacks], **(base | settings)
        )
        path = str(resume) if resume else None
        self.error: Exception | None = None
        try:
            self.trainer.fit(self.made, data or Shifts(num_workers=workers), ckpt_path=path)
        except Interruption as error:
            self.error = error


class Interruption(Exception):
    """What a test raises in the middle of a run."""


def disturb(seed: int = 99) -> None:
    """Leave the global generators elsewhere than an uninterrupted run has them."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002


def differences(one, other, place: str = "") -> list[str]:
    """List where two trees differ, tensors in any bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        return [] if same and one.numpy().tobytes() == other.numpy().tobytes() else [place]  # NaN is NaN
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f"{place}: {sorted(map(str, one.keys() ^ other.keys()))}"]
        return [found for key in one for found in differences(one[key], other[key], f"{place}/{key}")]
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for i, (a, b) in pairs for found in differences(a, b, f"{place}/{i}")]
    return [] if one == other else [place]


def deviations(whole: Fitted, resumed: Fitted) -> list[str]:
    """List all in which a resumed run differs from the one that was not interrupted."""
    found = differences(whole.left.state, resumed.left.state)
    pairs = ((whole.left.losses, resumed.left.losses), (whole.log.rows, resumed.log.rows))
    for kind, (all_of_it, part) in zip(("loss", "log"), pairs, strict=True):
        found += differences({n: all_of_it.get(n) for n in part}, part, kind)
        found += [] if part and max(part) == max(all_of_it) else [f"{kind}: an end is missing"]
    return found


class Whole:
    """The uninterrupted runs, made when they are first asked for, and the checkpoints that they wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: dict[str, Fitted] = {}

    def __getitem__(self, name: str) -> Fitted:
        if name not in self.runs:
            (self.folder / name).mkdir()
            self.runs[name] = Fitted(Everywhere(self.folder / name), **SETTINGS[name])
        return self.runs[name]

    def file(self, name: str, point: str) -> Path:
        assert self[name].left.state
        return self.folder / name / f"{point}.ckpt"

    def content(self, name: str, point: str) -> dict:
        return torch.load(self.file(name, point), weights_only=True)

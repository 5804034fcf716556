"""What each of two ranks does for `test_several_ranks.py`: torchrun starts this file with a folder."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.trainer.states import TrainerStatus
from resuming import POINTS, SETTINGS, Everywhere, Fitted, deviations, disturb

from recurlight.__main__ import main
from recurlight.training.run import RUN_KEY

RANK = int(os.environ.get("RANK", "0"))  # collected for doctests, it has none
TWO = {"devices": 2, "strategy": "ddp"}

CASES = [
    *(("plain", point, 0) for point in POINTS["plain"]),
    *(
        ("plain", point, 2) for point in ("05-batch", "06-epoch")
    ),  # a fork beside gloo's threads may hang: few
    *(("accumulating", point, 0) for point in ("04-batch", "06-epoch", "10-batch", "16-batch", "18-epoch")),
]


class Alone(pl.Callback):
    """Makes checkpoints on the second rank only, as an exception and a signal do."""

    def __init__(self) -> None:
        self.carries: dict[str, list[int]] = {}

    def dump(self, trainer, moment: str) -> None:
        content = trainer._checkpoint_connector.dump_checkpoint(False)
        self.carries[moment] = list(content[RUN_KEY]["carry"])

    def on_after_backward(self, trainer, pl_module):
        if RANK == 1 and trainer.global_step == 2:
            self.dump(trainer, "amid a batch")

    def on_train_batch_end(self, trainer, *_):
        if RANK == 1 and trainer.global_step == 3:
            trainer.state.status = TrainerStatus.INTERRUPTED
            self.dump(trainer, "after an exception")
            trainer.state.status = TrainerStatus.RUNNING
        if trainer.global_step == 4:
            self.dump(trainer, "together")


def resume(folder: Path) -> dict[str, list[str]]:
    """Resume at every point, and list what differs from the run that was not interrupted."""
    whole, found = {}, {}
    for name in dict.fromkeys(name for name, _, _ in CASES):
        (folder / name).mkdir(exist_ok=True)
        whole[name] = Fitted(Everywhere(folder / name), **SETTINGS[name], **TWO)
    for name, point, workers in CASES:
        disturb(RANK)
        file = folder / name / f"{point}.ckpt"
        again = Fitted(resume=file, workers=workers, **SETTINGS[name], **TWO)
        found[f"{name} {point} {workers}"] = deviations(whole[name], again)
    return found


def command_line(folder: Path) -> list[int]:
    """Train, stop and resume through the command line."""
    os.chdir(folder)
    two = ["fit", "--config", "cli.yaml", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    exact = ["--trainer.precision", "32-true"]
    runs = {
        "two": ["--trainer.max_steps", "7"],
        "more": ["--trainer.max_steps", "7", "--ckpt_path", "one/3.ckpt"],
        "whole": [*exact, "--trainer.max_steps", "7"],
        "parts": [*exact, "--trainer.max_steps", "4"],
        "parts again": [*exact, "--trainer.max_steps", "7", "--ckpt_path", "last"],
    }
    return [main([*two, "--trainer.logger.name", name.split()[0], *rest]) for name, rest in runs.items()]


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    place = Path(sys.argv[1])
    alone = Alone()
    Fitted(alone, max_steps=5, **TWO)
    results = {"alone": alone.carries, "resumed": resume(place), "command line": command_line(place)}
    Path(f"{place}/{RANK}.json").write_text(json.dumps(results))

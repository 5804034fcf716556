"""The first losses of every recipe in its small size: `python tests/golden/make.py` writes `losses.txt` anew.

Run it after a change that is meant to change training, and commit the difference with that change.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import yaml

sys.path.append(str(Path(__file__).parent.parent))  # when it is run as a script
from overlays import FOLDER, LACKING, WHOLE, few

from recurlight.cli.app import RecurlightCLI
from recurlight.cli.explain.types import import_parts
from recurlight.cli.request import Request, prepare
from recurlight.halting import QLearningHalting

TABLE = Path(__file__).with_name("losses.txt")
STEPS = 3
LENGTH = 20  # of every run, which a curriculum may depend on, wherever it is broken off
QUIET = ["--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.enable_checkpointing=false"]
QUIET += ["--trainer.limit_val_batches=0", "--trainer.enable_progress_bar=false"]


def request(name: str) -> Request:
    """Return the command line of a recipe in its small size."""
    return prepare("fit", [*few(name), *QUIET], FOLDER)


def different() -> list[str]:
    """Return the recipes of the folder; of several that differ in their published size only, the first."""
    firsts = {yaml.safe_dump(request(name).config): name for name in reversed(WHOLE)}
    return sorted(firsts.values())


class Losses(pl.Callback):
    """Keeps the loss of every step, and stops after some.

    Args:
        steps: How many.
    """

    def __init__(self, steps: int) -> None:
        self.steps, self.found = steps, list[float]()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.found.append(outputs["loss"].item())
        trainer.should_stop = len(self.found) == self.steps


class Recipe(RecurlightCLI):
    """A recipe in its small size, that can be trained from the start again and again.

    Args:
        name: Of the recipe.
    """

    def __init__(self, name: str) -> None:
        import_parts()
        super().__init__(request(name))

    def _run_subcommand(self, subcommand: str) -> None:
        """Do nothing: `losses` makes the objects anew for every run."""

    def losses(self, steps: int, precision: str = "32-true") -> list[float]:
        """Train new objects for some steps, on one thread, and return the loss of each."""
        torch.set_num_threads(1)
        self.config["trainer.max_steps"], self.config["trainer.precision"] = LENGTH, precision
        self.instantiate_classes()
        record = Losses(steps)
        self.trainer.callbacks.append(record)
        self.trainer.fit(self.model, datamodule=self.datamodule)
        return record.found

    def golden(self) -> list[float]:
        """Return the first losses in float64, where another machine's rounding stays far out of sight.

        HRM's value of going on begins exactly at its target, so that its first gradient is rounding and
        nothing else. AdamATan2 follows its sign at full length, and from the third step on halting depends on
        it: the third loss is one here and another one there, and only the first two are kept of HRM.
        """
        found = self.losses(STEPS, "64-true")
        return found[: STEPS - isinstance(self.model.recursion.halting, QLearningHalting)]


def read() -> dict[str, list[float]]:
    """Return the table of the repository."""
    lines = (line.split() for line in TABLE.read_text("utf-8").splitlines())
    return {name: [float(number) for number in numbers] for name, *numbers in lines}


def write() -> None:
    """Make the table anew, in a folder and with a cache of its own."""
    kept = {name: read()[name] for name in LACKING}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        os.environ["RECURLIGHT_CACHE"] = folder
        found = {name: kept.get(name) or Recipe(name).golden() for name in different()}
    rows = [f"{name} {' '.join(f'{loss:.7f}' for loss in losses)}\n" for name, losses in found.items()]
    TABLE.write_text("".join(rows), encoding="utf-8")


if __name__ == "__main__":
    write()

"""Which overlay makes a recipe small, and the frozen model that it stands on."""

from __future__ import annotations

import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
import yaml

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.rglob("*.yaml"))
OVERLAYS = [name for name in RECIPES if name.startswith("small")]
PLACE = tempfile.TemporaryDirectory()  # which is gone at the end
FETCHED = {"hybrid_smollm2"}
"""Recipes on a published model, which few machines have; `language/test_smollm2.py` runs them."""
WHOLE = [name for name in RECIPES if name not in {*OVERLAYS, *FETCHED}]
LACKING = [name for name in ("reasoning_gym",) if find_spec(name) is None]
"""Recipes that cannot be trained here, each for want of the library of its name."""


def runnable(names: list[str]) -> list[object]:
    """Return names to be tested, of which those that cannot be trained here are skipped with the reason."""
    skip = pytest.mark.skip(reason="needs a library that is installed by itself, see docs/api/data.md")
    return [pytest.param(name, marks=skip) if name in LACKING else name for name in names]


def small(name: str) -> str:
    """Return a recipe's own overlay, or that of its task, `small_sort` of `trm_sort`; `small` is Sudoku's."""
    if f"small_{name}" in OVERLAYS:
        return f"small_{name}"
    words = name.split("_")
    if words[-1] == "sudoku":  # of a text's recipe there is a variant for it
        return "small"
    tasks = {one: one.removeprefix("small_") for one in OVERLAYS[1:]}
    return next((one for one, task in tasks.items() if any(w.startswith(task) for w in words)), "small")


COUNTS = ["--data.num_train=20", "--data.num_val=4", "--data.num_test=4"]
FEW = {
    "small": ["--data.source=generated", *COUNTS],
    "small_arc": ["--data.max_tasks=4"],
    "small_text": [f"--data.path={FOLDER.parent / 'LICENSE'}"],  # the same for every Python
    "small_maze": ["--data.source=generated", *COUNTS],
}


def few(name: str) -> list[str]:
    """Return the settings that leave a recipe few samples, for a run of seconds."""
    overlay = small(name)
    settings = [*FEW.get(overlay, COUNTS), "--data.batch_size=4", *standing(name)]
    return ["--config", name, "--config", overlay, *settings]


def standing(name: str) -> list[str]:
    """Return the settings that give a recipe the frozen model which another recipe makes, untrained."""
    settings = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8")) if name in WHOLE else {}
    frozen = settings.get("model", {}).get("backbone")
    if frozen is None:
        return []
    recipe = Path(frozen["init_args"]["checkpoint"]).parts[1]
    return ["--model.backbone.checkpoint", str(_untrained(recipe))]


@cache
def _untrained(recipe: str) -> Path:
    """Write the checkpoint of a recipe before its first step."""
    from recurlight.cli.app import RecurlightCLI
    from recurlight.cli.explain.types import import_parts
    from recurlight.cli.request import prepare

    class Made(RecurlightCLI):
        def _run_subcommand(self, subcommand: str) -> None:
            """Do nothing."""

    import_parts()
    path = Path(PLACE.name) / f"{recipe}.ckpt"
    with torch.random.fork_rng():
        model = Made(prepare("fit", ["--config", recipe, "--trainer.logger=false"], FOLDER)).model
        model.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        model.trainer.strategy.connect(model)
        model.trainer.save_checkpoint(path)
    return path

"""Which overlay makes a recipe small."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.rglob("*.yaml"))
OVERLAYS = [name for name in RECIPES if name.startswith("small")]
WHOLE = [name for name in RECIPES if name not in OVERLAYS]


def small(name: str) -> str:
    """Return a recipe's own overlay, or that of its task, `small_sort` of `trm_sort`; `small` is Sudoku's."""
    if f"small_{name}" in OVERLAYS:
        return f"small_{name}"
    task = name.rpartition("_")[2]
    return next((one for one in OVERLAYS[1:] if task.startswith(one.removeprefix("small_"))), "small")


COUNTS = ["--data.num_train=20", "--data.num_val=4", "--data.num_test=4"]
FEW = {
    "small": ["--data.source=generated", *COUNTS],
    "small_arc": ["--data.max_tasks=4"],
    "small_maze": ["--data.source=generated", *COUNTS],
}


def few(name: str) -> list[str]:
    """Return the settings that leave a recipe few samples, for a run of seconds."""
    overlay = small(name)
    return ["--config", name, "--config", overlay, *FEW.get(overlay, COUNTS), "--data.batch_size=4"]

"""Train looped language models, and single passes of as many weights and of as many layers, on text.

    python benchmarks/text.py run --out text.jsonl --seeds 3      # all that is not in the file yet
    python benchmarks/text.py run --out text.jsonl --steps 3000   # as many steps in place of the recipes' 600
    python benchmarks/text.py table --out text.jsonl              # Markdown: bits per byte by loops

The models are those of the recipes `ut_text`, `hrm_text` and `huginn_text`. Every model is trained with each
rate, with one seed; the rate with the fewest bits on the validation text then gets the other seeds. What is
told is measured on the test text. One JSON row a run, written when the run ends, so that it may be stopped
and started again at any time. The text is the standard library of the running Python: another version has
another.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from recurlight.cli.app import RecurlightCLI
from recurlight.cli.explain.types import import_parts
from recurlight.cli.recipes import recipes_dir
from recurlight.cli.request import prepare

RATES = (4e-3, 8e-3, 2e-3, 1.6e-2)
STEPS = 600
"""Of the recipes."""
DEEPEST = 8
"""Loops at most in evaluation."""


class Model(NamedTuple):
    """A recipe, and what is different from it."""

    recipe: str
    settings: tuple[str, ...] = ()
    applied: int = 8
    """Layers that a step applies, in the mean."""

    @classmethod
    def one_pass(cls, layers: int) -> Model:
        """Return layers of `ut_text` that are applied once each."""
        return cls("ut_text", (f"--model.refiner.cell.layers={layers}", "--model.cycles=1"), layers)


MODELS = {
    "ut_text": Model("ut_text"),
    "one pass of 2 layers": Model.one_pass(2),
    "one pass of 8 layers": Model.one_pass(8),
    "hrm_text": Model("hrm_text"),
    "huginn_text": Model("huginn_text"),
    "one pass of 4 layers": Model.one_pass(4),
}
QUIET = ("logger", "enable_checkpointing", "enable_progress_bar")


class Run(NamedTuple):
    """A model with a rate, a seed and a number of steps."""

    model: str
    rate: float
    seed: int
    steps: int = STEPS

    @classmethod
    def of(cls, row: dict[str, Any]) -> Run:
        """Return the run that a row is of; the first rows did not name the recipes' steps."""
        return cls(row["model"], row["rate"], row["seed"], row.get("steps", STEPS))

    @property
    def argv(self) -> list[str]:
        """What to write after `recurlight fit`."""
        recipe, settings, _ = MODELS[self.model]
        tried = f"--model.optimizer.lr={self.rate}", f"--seed_everything={self.seed}"
        quiet = (f"--trainer.{name}=false" for name in QUIET)
        return ["--config", recipe, *self._length, *settings, *tried, *quiet]

    @property
    def _length(self) -> tuple[str, ...]:
        steps, samples = self.steps, 8 * self.steps  # windows of a step in the recipes
        schedule = f"--model.scheduler.init_args.total={steps}"
        return f"--trainer.max_steps={steps}", schedule, f"--data.epoch_samples={samples}"


def measured(run: Run) -> dict[str, Any]:
    """Train a model, and return its row: bits per byte after 1, 2, ... loops on both held-out parts."""
    spent: dict[str, float] = {}

    def train(cli: RecurlightCLI) -> None:
        clocks = time.perf_counter(), time.process_time()
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
        spent["wall_s"] = round(time.perf_counter() - clocks[0], 1)
        spent["cpu_s"] = round(time.process_time() - clocks[1], 1)

    argv = [*run.argv, "--trainer.limit_val_batches=0"]
    cli = RecurlightCLI(prepare("fit", argv, recipes_dir()), train)
    model, row = cli.model, {**run._asdict(), "trained_cycles": cli.model.recursion.cycles, **spent}
    row["weights"] = sum(weight.numel() for weight in model.parameters())
    model.eval_cycles, cli.trainer.limit_val_batches = 1, 1.0
    for stage, evaluate in (("val", cli.trainer.validate), ("test", cli.trainer.test)):
        row[stage] = {}
        for model.eval_segments in {row["trained_cycles"], 1 if row["trained_cycles"] == 1 else DEEPEST}:
            evaluate(model, datamodule=cli.datamodule, verbose=False)
            figures = model.measured.figures.items()
            row[stage] |= {name: round(figure, 4) for name, figure in figures if "per_byte" in name}
        row[stage] = dict(sorted(row[stage].items()))
    return row


def bits(row: dict[str, Any], stage: str = "test", loops: int | None = None) -> float:
    """Return the bits per byte of a run, as deep as it was trained unless told otherwise."""
    found: float = row[stage][f"bits_per_byte_at_{loops or row['trained_cycles']}"]
    return found


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Read what was measured."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def best_rate(rows: list[dict[str, Any]], model: str) -> float:
    """Return the rate with the fewest bits on the validation text, with seed 0."""
    tried = {Run.of(row).rate: bits(row, "val") for row in rows if row["model"] == model and row["seed"] == 0}
    return min(tried, key=lambda rate: tried[rate])


def of_steps(rows: list[dict[str, Any]], steps: int) -> list[dict[str, Any]]:
    """Return the rows of runs of so many steps."""
    return [row for row in rows if Run.of(row).steps == steps]


def missing(path: Path, seeds: int, models: Sequence[str], steps: int) -> Iterator[Run]:
    """Name the runs that the file does not have: of these models all rates with seed 0, then other seeds."""

    def rows() -> list[dict[str, Any]]:
        return of_steps(rows_of(path), steps)

    def wanted(name: str, rate: float, seed: int) -> list[Run]:
        run = Run(name, rate, seed, steps)
        return [] if run in map(Run.of, rows()) else [run]

    for rate in RATES:
        for name in models:
            yield from wanted(name, rate, 0)
    for seed in range(1, seeds):
        for name in models:
            yield from wanted(name, best_rate(rows(), name), seed)


def table(rows: list[dict[str, Any]]) -> str:
    """Write the bits per byte on the test text, mean and spread over seeds: as trained, and by loops."""
    head = ["model", "weights", "layers applied", "rate", "as trained", "1 loop", "2", "4", "8", "CPU s"]
    lines = [_line(found, name) for name in MODELS if (found := chosen(rows, name))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def chosen(rows: list[dict[str, Any]], model: str) -> list[dict[str, Any]]:
    """Return the rows of a model with its best rate, one for each seed."""
    mine = [row for row in rows if row["model"] == model]
    return [row for row in mine if row["rate"] == best_rate(mine, model)]


def _line(rows: list[dict[str, Any]], name: str) -> list[str]:
    first = rows[0]
    points = [] if first["trained_cycles"] == 1 else [1, 2, 4, 8]
    told = [_mean([bits(row, loops=loops) for row in rows]) for loops in points]
    seconds = statistics.fmean(row["cpu_s"] for row in rows)
    counted = _mean([bits(row) for row in rows]) + f" ({len(rows)})"
    facts = [name, f"{first['weights']:,}", str(MODELS[name].applied), f"{first['rate']:g}", counted]
    return [*facts, *told, *[""] * (4 - len(told)), f"{seconds:.0f}"]


def _mean(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS, help="how long to train: also which to tell")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=[*MODELS], help="these models")
    asked = parser.parse_args(arguments)
    if asked.what == "table":
        print(table(of_steps(rows_of(asked.out), asked.steps)))
        return
    torch.set_num_threads(1)
    import_parts()
    hardware = (
        f"{platform.machine()}, 1 thread, torch {torch.__version__}, Python {platform.python_version()}"
    )
    for run in missing(asked.out, asked.seeds, asked.only, asked.steps):
        row = json.dumps({**measured(run), "hardware": hardware})
        with asked.out.open("a", encoding="utf-8") as file:
            file.write(row + "\n")
        print(row, flush=True)


if __name__ == "__main__":
    main()

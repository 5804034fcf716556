"""Train every combination of refiner, gradient and halting on 6x6 Sudoku, at one budget of updates.

    python benchmarks/grid.py run --out grid.jsonl --seeds 3          # all that is not in the file yet
    python benchmarks/grid.py run --out grid.jsonl --only shared/last_cycle/correctness
    python benchmarks/grid.py table --out grid.jsonl                  # Markdown, mean and spread over seeds
    python benchmarks/grid.py picture --out grid.jsonl --to grid.svg  # needs the extra `viz`

One JSON row a run, written when the run ends, so that it may be stopped and started again at any time, and
several processes may share a file: each takes the next run that nobody has begun. A composition that the
library refuses is a row, too, with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging

import recurlight as rl
from recurlight.errors import IncompatibleComponents

STEPS, BATCH, UPDATES, SEGMENTS = 800, 32, 9, 16
"""Steps and slots of a run whose segments have nine updates, and the cap on segments."""


class Refining(NamedTuple):
    """A refiner, and in its terms what a segment and a cycle are."""

    make: Callable[[], rl.Refiner[Any]]
    cycles: int
    latent_steps: int  # 0 for one level

    @property
    def cycle(self) -> int:
        """Updates of a cycle: three in all, be they of one level or of two."""
        return self.latent_steps + 1 if self.latent_steps else 3


def cell(layers: int = 2) -> rl.MixerCell:
    """Return the quickstart's cell."""
    return rl.MixerCell(layers=layers, multiple=32)


REFINERS = {
    "single": Refining(lambda: rl.SingleRefiner(cell()), 9, 0),
    "shared": Refining(lambda: rl.TwoLevelRefiner(cell(), None, latent_steps=2), 3, 2),
    "separate": Refining(lambda: rl.TwoLevelRefiner(cell(), cell(), latent_steps=2), 3, 2),
}


class Training(NamedTuple):
    """Which updates carry gradient, what changes with the step, and the updates of a segment in the mean."""

    truncation: rl.GradientTruncation
    curriculum: Callback | None = None
    mean_updates: float = UPDATES


def last_cycle(of: Refining) -> rl.GradientTruncation:
    """Return the window of three updates."""
    return rl.LastUpdates(of.cycle)


def per_level(of: Refining) -> rl.GradientTruncation:
    """Return a budget of five updates."""
    return rl.LastPerLevel({"latent": 3, "answer": 2} if of.latent_steps else {"answer": 5})


def phantom(of: Refining) -> rl.GradientTruncation:
    """Return six damped updates."""
    return rl.PhantomGradient(steps=2 if of.latent_steps else 6, damping=0.5)


def implicit(of: Refining) -> rl.GradientTruncation:
    """Return the fixed point's gradient by four products."""
    return rl.ImplicitGradient(rl.PicardSolver(), rl.PicardSolver(damping=0.5), backward_steps=4)


def neumann(of: Refining) -> rl.GradientTruncation:
    """Return the first three terms of the fixed point's gradient, after plain cycles."""
    return rl.NeumannGradient(steps=2, solver=rl.PicardSolver())


def window_curriculum(of: Refining) -> Training:
    """Return the window that grows from two to five updates, as published."""
    return Training(rl.LastUpdates(2), rl.WindowCurriculum(first=2, last=5, share=0.2))


def depth_curriculum(of: Refining) -> Training:
    """Return segments of two, six and nine updates, the published stages as far as nine updates have them."""
    stages: list[dict[str, Any]] = [
        {"cycles": [2, 6, 9], "latent_steps": None},
        {"cycles": [1, 2, 3], "latent_steps": [1, 2, 2]},
    ]
    curriculum = rl.DepthCurriculum(**stages[of.latent_steps > 0], starts=[0.0, 0.3, 0.6])
    return Training(last_cycle(of), curriculum, mean_updates=0.3 * 2 + 0.3 * 6 + 0.4 * 9)


def random_depth(of: Refining) -> Training:
    """Return segments whose number of cycles is drawn, nine updates in the mean."""
    return Training(last_cycle(of), rl.RandomDepth(mean=of.cycles))


TRAININGS: dict[str, Callable[[Refining], Training]] = {
    "last_update": lambda of: Training(rl.LastUpdates(1)),
    "last_2": lambda of: Training(rl.LastUpdates(2)),
    "last_cycle": lambda of: Training(last_cycle(of)),
    "per_level": lambda of: Training(per_level(of)),
    "every": lambda of: Training(rl.EveryUpdate()),
    "phantom": lambda of: Training(phantom(of)),
    "neumann": lambda of: Training(neumann(of)),
    "implicit": lambda of: Training(implicit(of)),
    "window_curriculum": window_curriculum,
    "depth_curriculum": depth_curriculum,
    "random_depth": random_depth,
}

HALTINGS: dict[str, Callable[[], rl.Halting]] = {
    "correctness": rl.CorrectnessHalting,
    "fixed": rl.FixedHalting,
    "convergence": partial(rl.ConvergenceHalting, tolerance=1e-2),
}

BASELINES = {"one_pass_parameters": 2, "one_pass_compute": 2 * UPDATES}
"""Layers of models that apply each of their layers once: as many weights, and as many updates."""


class Run(NamedTuple):
    """One cell of the grid with its seed."""

    refiner: str
    training: str
    halting: str
    seed: int

    @property
    def cell(self) -> str:
        """Its name without the seed."""
        return f"{self.refiner}/{self.training}/{self.halting}"


def planned(seeds: int) -> Iterator[Run]:
    """Name the runs, those that matter most first: a whole round of one seed before the next."""
    first = [("shared", "correctness"), ("single", "correctness")]
    for seed in range(seeds):
        yield from (Run(r, t, h, seed) for t in TRAININGS for r, h in first)
        yield from (Run(name, "every", "fixed", seed) for name in BASELINES)
    others = [(r, h) for h in HALTINGS for r in REFINERS if (r, h) not in first]
    yield from (Run(r, t, h, 0) for r, h in others for t in TRAININGS)


def composed(run: Run) -> tuple[dict[str, Any], Callback | None, int]:
    """Return a run's settings of the model, its curriculum, and its number of steps."""
    if run.refiner in BASELINES:
        refiner = rl.SingleRefiner(cell(BASELINES[run.refiner]))
        parts = {"refiner": refiner, "truncation": rl.EveryUpdate(), "halting": rl.FixedHalting()}
        return {**parts, "cycles": 1, "max_segments": 1}, None, STEPS
    of = REFINERS[run.refiner]
    training = TRAININGS[run.training](of)
    parts = {"refiner": of.make(), "truncation": training.truncation, "halting": HALTINGS[run.halting]()}
    steps = round(STEPS * UPDATES / training.mean_updates)
    return {**parts, "cycles": of.cycles, "max_segments": SEGMENTS}, training.curriculum, steps


def model_of(run: Run, data: rl.SudokuData, settings: dict[str, Any], steps: int) -> rl.RecursiveModule:
    """Make the model with an optimizer and a schedule like the quickstart's, as long as the run."""
    return rl.RecursiveModule.for_data(
        data,
        **settings,
        width=64,
        loss=rl.SoftmaxCrossEntropy(),
        optimizer=partial(rl.AdamATan2, lr=5e-3, weight_decay=1.0),
        scheduler=partial(rl.LinearWarmupCosine, warmup=min(100, steps // 4), total=steps, floor=0.02),
        seed=run.seed,
    )


def recorded(model: rl.RecursiveModule, data: rl.SudokuData) -> int:
    """Return the bytes that one segment keeps for its backward pass, weights not counted."""
    weights = {weight.data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            alive.append(tensor)  # or its memory would be given to the next one
        return tensor

    alive: list[torch.Tensor] = []
    batch = next(iter(data.train_dataloader()))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.recursion.segment(model.recursion.start(batch), batch)
    return sum(kept.values())


def train(run: Run, threads: int) -> dict[str, Any]:
    """Train and measure one run; the reason, if the composition is refused."""
    torch.set_num_threads(threads)
    settings, curriculum, steps = composed(run)
    data = rl.SudokuData(
        size=6, num_train=2000, num_val=500, num_test=0, batch_size=BATCH, eval_batch_size=250,
        epoch_samples=steps * BATCH, seed=run.seed,
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    try:
        model = model_of(run, data, settings, steps)
    except IncompatibleComponents as refused:
        return {"refused": str(refused)}
    memory = recorded(model, data)
    averaging = EMAWeightAveraging(decay=0.99, use_buffers=False)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(
        max_steps=steps, accelerator="cpu", num_sanity_val_steps=0, limit_val_batches=0,
        callbacks=[averaging, *([curriculum] if curriculum else [])], enable_model_summary=False, **quiet,
    )  # fmt: skip
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.fit(model, data)
    spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    return {"steps": steps, **spent, "recorded_mb": memory / 1e6, **measured(model, data)}


@torch.no_grad()
def measured(model: rl.RecursiveModule, data: rl.SudokuData) -> dict[str, Any]:
    """Measure exact accuracy after each segment, and where the halting policy first says stop."""
    recursion = model.recursion.eval()
    exact = torch.zeros(recursion.max_segments)
    halted_right, segments, count = 0.0, 0.0, 0
    for batch in data.val_dataloader():
        said = torch.zeros(len(batch.task), dtype=torch.bool)
        stopped = torch.zeros_like(said)
        for number, prediction in enumerate(recursion.unroll(batch)):
            right = model.loss.right(prediction.logits, batch.labels)
            exact[number] += right.sum()
            last = number + 1 == recursion.max_segments
            now = ~said & (prediction.halted | last)
            stopped, said = torch.where(now, right, stopped), said | now
            segments += float(now.sum()) * (number + 1)
        halted_right, count = halted_right + float(stopped.sum()), count + len(said)
    return {
        "exact": [round(float(one) / count, 4) for one in exact],
        "halted_exact": round(halted_right / count, 4),
        "halted_segments": round(segments / count, 3),
    }


def rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows that are there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def claim(path: Path, run: Run) -> bool:
    """Take a run unless it has a row or a living process has begun it."""
    if any(row["cell"] == run.cell and row["seed"] == run.seed for row in rows(path)):
        return False
    lock = path.with_name(f"{path.name}.{run.cell.replace('/', '-')}-{run.seed}.lock")
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    os.close(descriptor)
    return True


def release(path: Path, run: Run) -> None:
    """Give a run back."""
    path.with_name(f"{path.name}.{run.cell.replace('/', '-')}-{run.seed}.lock").unlink(missing_ok=True)


def run_all(options: argparse.Namespace) -> None:
    """Train what is missing."""
    hardware = (
        f"{platform.processor() or platform.machine()}, {options.threads} thread, torch {torch.__version__}"
    )
    for run in planned(options.seeds):
        if (options.only and run.cell not in options.only) or not claim(options.out, run):
            continue
        try:
            found = train(run, options.threads)
            row = {
                "cell": run.cell,
                "seed": run.seed,
                **found,
                "hardware": hardware,
            }
            with options.out.open("a") as out:
                out.write(json.dumps(row) + "\n")
        finally:
            release(options.out, run)
        exact = row["exact"][-1] if "exact" in row else row["refused"]
        print(run.cell, run.seed, exact, round(row.get("cpu_s", 0)), flush=True)


def main(arguments: Iterable[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["run", "table", "picture"])
    parser.add_argument("--out", type=Path, default=Path("grid.jsonl"))
    parser.add_argument("--to", type=Path, default=Path("grid.svg"), help="file of the picture")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of cells, such as shared/last_cycle/correctness")
    options = parser.parse_args(None if arguments is None else list(arguments))
    warnings.filterwarnings("ignore")
    {"run": run_all, "table": table, "picture": picture}[options.what](options)


Cells = dict[str, list[dict[str, Any]]]


def grouped(found: list[dict[str, Any]]) -> Cells:
    """Put the seeds of a cell together."""
    cells: Cells = {}
    for row in found:
        cells.setdefault(row["cell"], []).append(row)
    return cells


def share(of: list[dict[str, Any]], figure: Callable[[dict[str, Any]], float]) -> str:
    """Write a share of the puzzles in percent: mean and spread over seeds, the one value of a single seed."""
    if not of:
        return ""
    if "refused" in of[0]:
        return "refused"
    values = [100 * figure(row) for row in of]
    if len(values) == 1:
        return f"{values[0]:.1f} (1)"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f} ({len(values)})"


def last(row: dict[str, Any]) -> float:
    """Return the exact accuracy after all segments."""
    return float(row["exact"][-1])


def table(options: argparse.Namespace) -> None:
    """Print what was reached, by halting policy, and what it cost."""
    cells = grouped(rows(options.out))
    for halting in HALTINGS:
        print(f"\n| {halting} | " + " | ".join(REFINERS) + " |\n" + "| --- " * (len(REFINERS) + 1) + "|")
        for training in TRAININGS:
            found = [share(cells.get(f"{r}/{training}/{halting}", []), last) for r in REFINERS]
            print(f"| {training} | " + " | ".join(found) + " |")
    print("\n| one pass | exact |\n| --- | --- |")
    for name in BASELINES:
        print(f"| {name} | {share(cells.get(f'{name}/every/fixed', []), last)} |")
    costs(cells)


def picture(options: argparse.Namespace) -> None:
    """Draw a dot for each run that halts where it judges to be right, one panel a refiner."""
    from matplotlib import pyplot

    cells = grouped(rows(options.out))
    figure, axes = pyplot.subplots(1, 2, sharey=True, figsize=(8, 3.6), layout="constrained")
    names = list(TRAININGS)[::-1]
    for axis, refiner in zip(axes, ("shared", "single"), strict=True):
        for height, training in enumerate(names):
            found = [last(r) for r in cells.get(f"{refiner}/{training}/correctness", []) if "exact" in r]
            if found:
                axis.plot(
                    [100 * one for one in found], [height] * len(found), "o", color="#0072b2", alpha=0.5
                )
                axis.plot([100 * statistics.mean(found)], [height], "|", color="black", markersize=14)
        title = {"shared": "two levels, one network", "single": "one level"}[refiner]
        axis.set(title=title, xlim=(0, 102), xlabel="exact after 16 segments (%)")
        axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        axis.grid(axis="x", alpha=0.3)
    figure.savefig(options.to, metadata={"Date": None})


def costs(cells: Cells) -> None:
    """Print time, memory and what halting by itself gives, of runs that learn to judge themselves."""
    head = ["cell", "steps", "CPU s", "MB kept", "after 1 segment", "where it halts", "segments then"]
    print("\n| " + " | ".join(head) + " |\n" + "| --- " * len(head) + "|")
    for name, found in cells.items():
        if "refused" in found[0] or not name.endswith(("correctness", "every/fixed")):
            continue
        cpu, segments = (statistics.mean(row[key] for row in found) for key in ("cpu_s", "halted_segments"))
        first, halted = (
            share(found, lambda row: row["exact"][0]),
            share(found, lambda row: row["halted_exact"]),
        )
        cost = f"{found[0]['steps']} | {cpu:.0f} | {found[0]['recorded_mb']:.0f}"
        print(f"| {name} | {cost} | {first} | {halted} | {segments:.1f} |")
    for reason in dict.fromkeys(found[0]["refused"] for found in cells.values() if "refused" in found[0]):
        print(f"\nRefused: {reason}")


if __name__ == "__main__":
    main()

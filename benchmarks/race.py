"""Race to the same accuracy on 6x6 Sudoku: the quickstart against models of other people's libraries.

    python benchmarks/race.py run --out race.jsonl --seeds 3                  # recurlight alone
    python benchmarks/race.py run --out race.jsonl --peer nano_trm=FOLDER --peer tiny_recursive_model=FOLDER
    python benchmarks/race.py table --out race.jsonl                          # Markdown, medians over seeds

A folder is a checkout, or what `pip install --target` filled; where it has an environment of its own (`.venv`
or `bin/python`), that one's Python runs. All get the same generated puzzles, the others as arrays of samples
as varied as ours, and are evaluated alike by `race_one.py`: a held-out puzzle counts if its answer is right
once a segment no longer changes it, or after 16 segments; averaged weights; evaluation is not in the seconds.
`racers.py` has the settings of the others; `--set nano_trm.lr=0.005` changes one.

One JSON row a run, written when the run ends, so that it may be stopped and started again at any time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
GOALS = (90, 95, 98)
MODULES = {"nano_trm": "src.nn.models.trm", "tiny_recursive_model": "tiny_recursive_model"}
INSTALL = {
    "nano_trm": "git clone https://github.com/olivkoch/nano-trm FOLDER && cd FOLDER && uv sync",
    "tiny_recursive_model": "python -m venv FOLDER && FOLDER/bin/pip install tiny-recursive-model",
}


class Run(NamedTuple):
    """One training."""

    racer: str
    seed: int
    settings: tuple[str, ...] = ()


class Peer(NamedTuple):
    """Where a library is."""

    name: str
    folder: Path

    @property
    def python(self) -> str:
        """The Python that has it."""
        places = (self.folder / ".venv" / "bin" / "python", self.folder / "bin" / "python")
        return str(next((place for place in places if place.exists()), sys.executable))

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which its modules are found."""
        return {**os.environ, "PYTHONPATH": str(self.folder)}

    def check(self) -> None:
        """Import it.

        Raises:
            SystemExit: It cannot be imported.
        """
        command = [self.python, "-c", f"import {MODULES[self.name]}"]
        found = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if found.returncode:
            why = found.stderr.strip().splitlines()[-1]
            raise SystemExit(f"{self.name} is not in {self.folder} ({why}): {INSTALL[self.name]}")


def peer(text: str) -> Peer:
    """Read NAME=FOLDER."""
    name, _, folder = text.partition("=")
    if name not in MODULES or not folder:
        raise argparse.ArgumentTypeError(f"{text}: give {' or '.join(f'{one}=FOLDER' for one in MODULES)}")
    return Peer(name, Path(folder).expanduser().resolve())


def export(path: Path, samples: int) -> None:
    """Write the held-out puzzles, and training samples varied as those that the quickstart trains on."""
    import numpy as np

    from recurlight import SudokuData

    data = SudokuData(
        size=6, num_train=2000, num_val=500, num_test=500, batch_size=min(samples, 2000), eval_batch_size=500,
        epoch_samples=samples, seed=0,
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    arrays = {}
    for split, batches in (("train", data.train_dataloader()), ("val", data.val_dataloader())):
        rows = list(batches)
        for name in ("inputs", "labels"):
            arrays[f"{split}_{name}"] = np.concatenate([getattr(row, name) for row in rows]).astype(np.int8)
    np.savez_compressed(path, **arrays)


def rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows that are there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def planned(options: argparse.Namespace) -> Iterator[Run]:
    """Name the runs that are not in the file, a whole round of one seed before the next."""
    there = {(row["racer"], row["seed"], tuple(row["settings"])) for row in rows(options.out)}
    racers = ["recurlight", *(one.name for one in options.peer)]
    for seed in range(options.seeds):
        for name in racers if options.only is None else [one for one in racers if one in options.only]:
            given = tuple(one.removeprefix(f"{name}.") for one in options.set if one.startswith(f"{name}."))
            if (name, seed, given) not in there:
                yield Run(name, seed, given)


def command(run: Run, options: argparse.Namespace, arrays: Path) -> list[str]:
    """Return the command line of a run; the others may stop at the goal, our schedule has an end."""
    flags = ["--arrays", str(arrays), "--seed", str(run.seed), "--threads", str(options.threads)]
    flags += ["--every", str(options.every), "--budget", str(options.budget), "--goal", str(max(GOALS))]
    flags += [word for one in run.settings for word in ("--set", one)]
    return [str(HERE / "race_one.py"), run.racer, *flags, *(["--stop"] if run.racer in MODULES else [])]


def trained(run: Run, options: argparse.Namespace, arrays: Path) -> dict[str, Any]:
    """Train one.

    Raises:
        SystemExit: It failed.
    """
    place = next((one for one in options.peer if one.name == run.racer), None)
    python, environment = (place.python, place.environment) if place else (sys.executable, {**os.environ})
    environment["OMP_NUM_THREADS"] = str(options.threads)
    line = [python, *command(run, options, arrays)]
    found = subprocess.run(line, env=environment, stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise SystemExit(f"{run.racer} with seed {run.seed} failed: its last words are above")
    return dict(json.loads(found.stdout.splitlines()[-1]))


def run_all(options: argparse.Namespace) -> None:
    """Train what is missing."""
    for one in options.peer:
        one.check()
    hardware = f"{platform.processor() or platform.machine()}, {options.threads} thread"
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "puzzles.npz"
        export(arrays, options.samples)
        for run in planned(options):
            row = {**run._asdict(), **trained(run, options, arrays), "hardware": hardware}
            with options.out.open("a") as out:
                out.write(json.dumps(row) + "\n")
            print(run.racer, run.seed, row["curve"][-1], flush=True)


def reached(row: dict[str, Any], goal: int) -> dict[str, Any] | None:
    """Return the first point of the curve at which so many percent of all puzzles are right."""
    whole = max(point["puzzles"] for point in row["curve"])
    points = (point for point in row["curve"] if point["puzzles"] == whole)
    return next((point for point in points if 100 * point["exact"] >= goal), None)


def median(found: list[dict[str, Any]], goal: int, figure: str) -> float | None:
    """Return the median over seeds, where those that never get there come last; None if it is one of them."""
    points = [reached(row, goal) for row in found]
    middle = statistics.median_low if len(points) % 2 else statistics.median_high
    value = middle([point[figure] if point else float("inf") for point in points])
    return None if value == float("inf") else value


def table(options: argparse.Namespace) -> None:
    """Print seconds, steps and updates to each goal, and how many times ours they are."""
    racers: dict[str, list[dict[str, Any]]] = {}
    for row in rows(options.out):
        racers.setdefault(" ".join([row["racer"], *row["settings"]]), []).append(row)
    ours = racers.get("recurlight", [])
    head = ["", "seeds", *(f"{goal} %: CPU s, steps, updates, times ours" for goal in GOALS), "in the end"]
    print("| " + " | ".join(head) + " |\n" + "| --- " * len(head) + "|")
    for name, found in racers.items():
        cells = [cell(found, ours, goal) for goal in GOALS]
        end = statistics.median(row["curve"][-1]["exact"] for row in found)
        spent = statistics.median(row["curve"][-1]["cpu_s"] for row in found)
        print(f"| {name} | {len(found)} | {' | '.join(cells)} | {100 * end:.1f} % after {spent:.0f} s |")


def cell(found: list[dict[str, Any]], ours: list[dict[str, Any]], goal: int) -> str:
    """Write what it takes to a goal."""
    spent = [median(found, goal, figure) for figure in ("cpu_s", "step", "updates")]
    if spent[0] is None:
        return "not reached"
    first = median(ours, goal, "cpu_s") if ours else None
    times = f", {spent[0] / first:.1f}" if first else ""
    return f"{spent[0]:.0f}, {spent[1]:.0f}, {spent[2]:.0f}{times}"


def main(arguments: Iterable[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--out", type=Path, default=Path("race.jsonl"))
    parser.add_argument("--peer", type=peer, action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=int, default=100, help="steps between evaluations")
    parser.add_argument("--budget", type=float, default=300.0, help="CPU seconds of training for each")
    parser.add_argument("--samples", type=int, default=100_000, help="training samples to export")
    parser.add_argument("--only", nargs="*", help="racers, such as nano_trm")
    parser.add_argument("--set", action="append", default=[], metavar="RACER.NAME=VALUE")
    options = parser.parse_args(None if arguments is None else list(arguments))
    {"run": run_all, "table": table}[options.what](options)


if __name__ == "__main__":
    main()

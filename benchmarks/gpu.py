"""Measure training on the CUDA device that is here, in slices that end in time.

    python benchmarks/gpu.py run --out gpu.json              # nine minutes: steps, data, start of a training
    python benchmarks/gpu.py run --out gpu.json --resume     # what was left out, and on with the training
    python benchmarks/gpu.py table --out gpu.json            # Markdown, for docs/performance.md
    python benchmarks/gpu.py run --out try.json --device cpu --small --budget 60

A measurement begins only if its expected time fits into its share of the budget; what was left out is told.
The file is written after each one, and the training goes on from a checkpoint beside it, so that a slice that
is cut off loses little. Other flags are those of `recurlight fit`, for every recipe: `--data.num_val=1000`.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu_measure import DTYPES, PRECISIONS, Place, made, matrix_peak, pipeline, training_step, waits
from gpu_table import table
from lightning import Callback, LightningModule, Trainer

import recurlight as rl
from recurlight.errors import RecurlightError

MODELS = ["trm_sudoku", "hrm_sudoku", "trm_maze", "trm_arc1"]
HOWS = [("bf16", "eager"), ("bf16", "compiled"), ("bf16", "graphs"), ("32", "eager"), ("32", "compiled")]
EXPECTED = {"peak": 5.0, "data": 25.0, "eager": 20.0, "compiled": 60.0, "graphs": 75.0, "curve": 90.0}
"""Seconds that are expected where none of the kind has been seen; of the curve, for all but the training."""

MEASURING = 0.6
"""Share of the budget that ends with the measurements; the training has the rest."""


class Results:
    """The file of a device: what was measured, the curve, and what was left out and why."""

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self.path, self.checkpoint = path, path.with_suffix(".ckpt")
        empty: dict[str, Any] = {"head": head, "measured": {}, "curve": [], "left_out": {}}
        self.all: dict[str, Any] = json.loads(path.read_text()) if path.exists() else empty
        self.measured: dict[str, dict[str, Any]] = self.all["measured"]
        self.curve: list[dict[str, Any]] = self.all["curve"]
        self.left_out: dict[str, str] = self.all["left_out"]

    def write(self) -> None:
        """Write the file; an interruption leaves the old one."""
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.all, indent=1) + "\n")
        part.replace(self.path)

    def expected(self, kind: str) -> float:
        """Return the seconds that a measurement of a kind may take: the longest so far and a fifth more."""
        seen = [row["seconds"] for name, row in self.measured.items() if kind in name.split("/")]
        return 1.2 * max(seen) if seen else EXPECTED[kind]


class Clock:
    """The seconds that are left of a budget, which begins now."""

    def __init__(self, budget: float) -> None:
        self.begun, self.budget = time.perf_counter(), budget

    def left(self, share: float = 1.0) -> float:
        """Return the seconds until a share of the budget is spent."""
        return share * self.budget - (time.perf_counter() - self.begun)


def plan(
    options: argparse.Namespace, place: Place, results: Results
) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Name the measurements, those that matter most first, each with its kind."""
    for precision in DTYPES:
        yield f"peak/{precision}", "peak", partial(matrix_peak, place, precision)
    yield f"data/{options.recipe}", "data", partial(pipeline, options.recipe, place)
    for precision, how in HOWS:
        for recipe in options.models:
            seen = results.measured.get(f"step/{recipe}/{precision}/eager", {})
            if how != "graphs" or place.device.type == "cuda":
                task = partial(training_step, recipe, place, precision, how, seen.get("slots"))
                yield f"step/{recipe}/{precision}/{how}", how, task
    for recipe in options.models:
        if recipe != options.recipe:
            yield f"data/{recipe}", "data", partial(pipeline, recipe, place)


def measure(options: argparse.Namespace, place: Place, results: Results, clock: Clock) -> None:
    """Measure what is not in the file yet, as far as time reaches."""
    for name, kind, task in plan(options, place, results):
        if name in results.measured:
            continue
        needs, left, begun = results.expected(kind), clock.left(MEASURING), time.perf_counter()
        if needs > left:
            results.left_out[name] = f"takes about {needs:.0f} s, of which {max(left, 0):.0f} were left"
            continue
        try:
            row = task()
        except Exception as error:  # one that fails must not take the others with it
            results.left_out[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        else:
            results.measured[name] = row | {"seconds": time.perf_counter() - begun}
            results.left_out.pop(name, None)
        print(name, results.left_out.get(name, "measured"), f"{clock.left():.0f} s left", flush=True)
        results.write()


class Piece(Callback):
    """Trains for some seconds, then writes a checkpoint and stops; it knows the seconds of all pieces.

    The first step of a piece is not counted: cells are compiled in it.
    """

    def __init__(self, path: Path, place: Place) -> None:
        self.path, self.place = path, place
        self.seconds = self.trained = self.ms = 0.0
        self.begun: tuple[float, int] | None = None
        self.waits: list[str] | None = None
        self.watch, self.done = ExitStack(), False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self.begun = self.waits = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Watch the second step for waits, of the trainer and its callbacks too."""
        if self.begun is not None and self.waits is None:
            self.waits = self.watch.enter_context(waits(self.place))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Look at the clock; the device is waited for in the first step and in the last one only."""
        self.watch.close()
        if self.begun is None:
            self.place.wait()
            self.begun = time.perf_counter(), trainer.global_step
        self.done = trainer.global_step >= trainer.max_steps
        if not self.done and time.perf_counter() - self.begun[0] < self.seconds:
            return
        self.place.wait()
        spent = time.perf_counter() - self.begun[0]
        self.trained += spent
        self.ms = 1e3 * spent / max(1, trainer.global_step - self.begun[1])
        trainer.save_checkpoint(self.path)
        trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds of training."""
        return {"trained": self.trained}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from them."""
        self.trained = state["trained"]


def train(options: argparse.Namespace, place: Place, results: Results, clock: Clock) -> None:
    """Train the recipe on, with a point of the curve for each piece, as far as time reaches."""
    cuda = place.device.type == "cuda"
    around, points = 1.0 if place.small else EXPECTED["curve"], 2 if place.small else sys.maxsize
    if around + 1 > clock.left():
        left = max(clock.left(), 0)
        results.left_out["curve"] = f"takes {around:.0f} s and more, of which {left:.0f} were left"
        return
    torch.compiler.reset()
    more = ["--trainer.callbacks+=CompileCells"] if cuda else []
    precision = f"--trainer.precision={PRECISIONS['bf16' if cuda else '32']}"
    found = made(options.recipe, place, precision, "--trainer.check_val_every_n_epoch=1000000", *more)
    piece = Piece(results.checkpoint, place)
    found.trainer.callbacks.append(piece)
    results.left_out.pop("curve", None)
    while points and not piece.done and clock.left() > around + 1:
        begun, before = time.perf_counter(), piece.trained
        piece.seconds = min(0.3 if place.small else options.point, clock.left() - around)
        start = results.checkpoint if results.checkpoint.exists() else None
        found.trainer.fit(found.model, found.datamodule, ckpt_path=start, weights_only=True)
        if piece.begun is None:  # there was no step left
            break
        results.curve.append(point(found, piece, options.recipe))
        results.write()
        points, around = points - 1, 1.3 * (time.perf_counter() - begun - (piece.trained - before))


def point(found: Any, piece: Piece, recipe: str) -> dict[str, Any]:
    """Evaluate the averaged weights on the validation puzzles."""
    step = found.trainer.global_step
    (figures,) = found.trainer.validate(found.model, found.datamodule, verbose=False)
    row = {"recipe": recipe, "step": step, "trained_s": piece.trained, "ms": piece.ms, "waits": piece.waits}
    return row | {"exact": figures["val/exact_accuracy"], "puzzles": len(found.datamodule.splits.val.inputs)}


def head(place: Place, words: Sequence[str]) -> dict[str, Any]:
    """Say what was measured on."""
    name = torch.cuda.get_device_name() if place.device.type == "cuda" else "CPU"
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "recurlight": rl.__version__}
    return {"device": name, **versions, "small": place.small, "command": " ".join(words), "seed": 0}


def run(options: argparse.Namespace, words: Sequence[str]) -> None:
    """Carry out one slice."""
    clock = Clock(options.budget)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise RecurlightError("there is no CUDA device here: to try the kit, type --device cpu --small")
    place = Place(torch.device(options.device), options.small, tuple(options.flags))
    here = head(place, words)
    results = Results(options.out, here)
    if (results.path.exists() or results.checkpoint.exists()) and not options.resume:
        raise RecurlightError(f"{options.out} is there: go on with --resume, or choose another by --out")
    for key in ("device", "torch", "small"):
        if (there := results.all["head"][key]) != here[key]:
            raise RecurlightError(
                f"{options.out} is of {key} {there}, here is {here[key]}: choose another --out"
            )
    measure(options, place, results, clock)
    train(options, place, results, clock)
    results.write()
    print(table(results.all))


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--resume", action="store_true", help="go on with the file and its checkpoint")
    parser.add_argument("--budget", type=float, default=540, help="seconds")
    parser.add_argument("--recipe", default="trm_sudoku_fast", help="what is trained")
    parser.add_argument("--point", type=float, default=60, help="seconds of training between two evaluations")
    parser.add_argument("--models", nargs="*", default=MODELS, help="recipes whose steps are timed")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="smallest sizes, to try the kit")
    options, options.flags = parser.parse_known_args(words)
    return options


def main(words: Sequence[str]) -> int:
    """Run or print; returns the exit status."""
    options = parse(words)
    try:
        if options.what == "run":
            run(options, ["python", "benchmarks/gpu.py", *words])
        else:
            print(table(json.loads(options.out.read_text())))
    except (RecurlightError, FileNotFoundError) as error:
        sys.stderr.write(f"gpu.py: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    sys.exit(main(sys.argv[1:]))

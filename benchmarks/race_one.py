"""Runs one racer of `race.py` in a process of its own, and prints what it reached as one line of JSON.

python benchmarks/race_one.py nano_trm --arrays puzzles.npz --seed 0 --budget 300 --stop
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from typing import Any

import numpy as np
import torch
from racers import BATCH, RACERS, Arrays, Racer
from torch import Tensor, nn

SEGMENTS = 16
FEW, FAR = 50, 0.8
"""Where of so few puzzles a smaller share is right, a model is too far from the goal for all of them."""


class Enough(Exception):
    """Ends a race."""


def thinking(racer: Racer, questions: Tensor, early: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield answers and whether rows would stop, after each segment.

    Args:
        racer: Who answers.
        questions: `(B, L)`.
        early: Rows leave, and keep their answer, when a segment has not changed it.
    """
    state, rows = racer.begin(questions), torch.arange(len(questions))
    answers, stops = torch.full_like(questions, -1), torch.zeros(len(questions), dtype=torch.bool)
    for _ in range(SEGMENTS):
        state, logits, stop = racer.segment(state)
        found = logits.argmax(dim=-1)
        changed = (found != answers[rows]).any(dim=1)
        answers[rows], stops[rows] = found, stop
        yield answers, stops
        if early:
            rows = rows[changed]
            state = racer.rows(state, changed.nonzero()[:, 0])
            if not len(rows):
                return


@torch.no_grad()
def settled(racer: Racer, arrays: Arrays, puzzles: int | None = None) -> float:
    """Return the share of held-out puzzles that are right when their answer no longer changes."""
    *_, (answers, _) = thinking(racer, arrays["val_inputs"][:puzzles], early=True)
    return float((answers == arrays["val_labels"][:puzzles]).all(dim=1).float().mean())


@torch.no_grad()
def all_ways(racer: Racer, arrays: Arrays) -> dict[str, Any]:
    """Return the share that is right after each segment, and where the model itself first stops."""
    labels = arrays["val_labels"]
    exact, own = [], torch.zeros(len(labels))
    going = torch.ones(len(labels), dtype=torch.bool)
    for answers, stops in thinking(racer, arrays["val_inputs"], early=False):
        right = (answers == labels).all(dim=1)
        exact.append(round(float(right.float().mean()), 4))
        now = going & (stops | (len(exact) == SEGMENTS))
        own, going = torch.where(now, right.float(), own), going & ~now
    return {"exact": exact, "own_halting": round(float(own.mean()), 4)}


class Race:
    """The clock and the curve of a run. Evaluation does not count."""

    def __init__(self, racer: Racer, arrays: Arrays, options: argparse.Namespace) -> None:
        self.racer, self.arrays, self.options = racer, arrays, options
        self.found: dict[str, Any] = {"curve": []}
        self.steps, self.rows, self.cpu, self.wall = 0, 0, 0.0, 0.0

    def start(self) -> None:
        """Start the clock."""
        self.since = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        """Stop the clock."""
        self.cpu += time.process_time() - self.since[0]
        self.wall += time.perf_counter() - self.since[1]

    def count(self, module: nn.Module, arguments: Any, output: Tensor) -> None:
        """Count the rows that an update is applied to."""
        self.rows += len(output)

    def tick(self, last: bool) -> None:
        """Take note of a step; evaluate now and then, and at the end.

        Raises:
            Enough: The goal or the end of the budget is reached.
        """
        if not self.steps:  # not before, or averages would be copies that count, too
            self.racer.network.register_forward_hook(self.count)
        self.steps += 1
        last = last or self.cpu + time.process_time() - self.since[0] >= self.options.budget
        if self.steps % self.options.every and not last:
            return
        self.stop()
        exact = self.look()
        if last or (self.options.stop and exact >= self.options.goal / 100):
            self.found |= all_ways(self.racer, self.arrays)
            raise Enough
        self.start()

    def look(self) -> float:
        """Evaluate, on few puzzles as long as that is enough to tell that the goal is far."""
        exact, of = settled(self.racer, self.arrays, FEW), FEW
        if exact >= FAR:
            exact, of = settled(self.racer, self.arrays), len(self.arrays["val_inputs"])
        updates = round(
            self.rows * self.steps / max(1, self.steps - 1) / BATCH
        )  # the first step's are not counted
        point = {
            "step": self.steps,
            "updates": updates,
            "cpu_s": round(self.cpu, 2),
            "wall_s": round(self.wall, 2),
        }
        self.found["curve"].append(point | {"exact": round(exact, 4), "puzzles": of})
        print(json.dumps(self.found["curve"][-1]), file=sys.stderr, flush=True)
        return exact


def loaded(path: str) -> Arrays:
    """Read what `race.py` exported."""
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name].astype(np.int64)) for name in file.files}


def main() -> None:
    """Run one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("racer", choices=RACERS)
    parser.add_argument("--arrays", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=300.0, help="CPU seconds of training")
    parser.add_argument("--every", type=int, default=100, help="steps between evaluations")
    parser.add_argument("--goal", type=float, default=98.0, help="percent")
    parser.add_argument("--stop", action="store_true", help="stop at the goal")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of its own"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    arrays, given = loaded(options.arrays), dict(one.split("=", 1) for one in options.set)
    with redirect_stdout(io.StringIO()), suppress(Enough):
        racer = RACERS[options.racer](arrays, options.seed, given)
        race = Race(racer, arrays, options)
        racer.train(race)
    weights = sum(weight.numel() for weight in racer.network.parameters())
    print(json.dumps({"network_weights": weights, "torch": torch.__version__, **race.found}))


if __name__ == "__main__":
    main()

"""Measure each data pipeline: set-up, memory and samples for each second of one core.

    python benchmarks/data.py
    python benchmarks/data.py --pipeline arc1

Each pipeline runs in a process of its own, on one thread and without workers. Memory is the growth of that
process after the imports: after set-up, and at its highest while training and evaluation batches are made.
Samples are counted by processor time, which other programs on the machine do not disturb much.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader

import recurlight as rl
import recurlight.data  # now: names of recurlight load on first use, which is no set-up of data


class Pipeline(NamedTuple):
    """What is measured; add a line to `PIPELINES` for another."""

    make: Callable[[], rl.PuzzleData]
    note: str


PIPELINES = {
    "sudoku9": Pipeline(
        lambda: rl.SudokuData(num_train=200, num_val=20, num_test=200),
        "420 generated puzzles; set-up generates them, on all cores",
    ),
    "maze30": Pipeline(
        lambda: rl.MazeData(num_train=1000, num_val=20, num_test=1000, batch_size=768),
        "2,020 generated mazes of 30 x 30; set-up generates them, on all cores",
    ),
    "sort": Pipeline(
        lambda: rl.SortingData(num_train=20_000, num_val=100, num_test=1000, batch_size=768),
        "21,100 generated sequences",
    ),
    "arc1": Pipeline(lambda: rl.ArcData(version=1), "1,000 augmentations of 800 tasks"),
    "arc2": Pipeline(lambda: rl.ArcData(version=2), "1,000 augmentations of 1,120 tasks"),
    "arc1_shown": Pipeline(
        lambda: rl.ArcData(version=1, held_out=True, demonstrations=2), "held out, 2 demonstrations shown"
    ),
}


def resident() -> float:
    """Return the highest memory of the process so far in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if platform.system() == "Darwin" else 1024)


def rate(loader: DataLoader[Any], batches: int) -> float:
    """Return samples for each second of processor time, after a first batch; repeats a short loader."""

    def endless() -> Iterator[Any]:
        while True:
            yield from loader

    stream = endless()
    next(stream)
    start, samples = time.process_time(), 0
    for _ in range(batches):
        samples += len(next(stream).task)
    return samples / (time.process_time() - start)


def measure(name: str, batches: int) -> str:
    """Return a row of the table."""
    torch.set_num_threads(1)
    before, start = resident(), time.perf_counter()
    data = PIPELINES[name].make()
    data.prepare_data()
    data.setup("fit")
    seconds, kept = time.perf_counter() - start, resident() - before
    training, evaluation = rate(data.train_dataloader(), batches), rate(data.test_dataloader(), batches)
    highest = resident() - before
    return (
        f"{name:12}{seconds:8.2f}{kept:10.0f}{highest:9.0f}{training:11.0f}{evaluation:11.0f}"
        f"  {PIPELINES[name].note}"
    )


def main() -> None:
    """Print the table, or one row of it for a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pipeline", choices=[*PIPELINES, "all"], default="all")
    parser.add_argument("--batches", type=int, default=20, help="batches that are timed")
    parser.add_argument("--row", action="store_true", help="print the row alone, in this process")
    options = parser.parse_args()
    if options.row:
        print(measure(options.pipeline, options.batches), flush=True)
        return
    print(f"torch {torch.__version__}, {platform.machine()}, one thread")
    print("pipeline    set-up s  set-up MB  peak MB    train/s     eval/s", flush=True)
    with tempfile.TemporaryDirectory() as folder:  # puzzles that are generated are generated anew
        for name in PIPELINES if options.pipeline == "all" else [options.pipeline]:
            command = [
                sys.executable,
                __file__,
                "--row",
                "--pipeline",
                name,
                "--batches",
                str(options.batches),
            ]
            subprocess.run(command, check=True, env=os.environ | {"RECURLIGHT_CACHE": folder})


if __name__ == "__main__":
    main()

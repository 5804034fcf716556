"""Measure how many puzzles a second a trained model answers, how rightly, and by how many updates.

    python benchmarks/inference.py --ckpt_path last.ckpt --puzzles 500 --slots 128
    python benchmarks/inference.py --ckpt_path last.ckpt --puzzles 10000 --seed 1 --threads 2 --out x.json

`fixed` runs every puzzle for all segments, `adaptive` lets the rows of a batch leave as they stop, and
`stream` gives their slots to the next puzzles; each with the cells as they are written and compiled. An
update is one application of a cell to one row; `computed` counts those of rows that only fill a batch up as
well. The puzzles are the checkpoint's test split, or with `--seed` new ones from its data.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

import recurlight as rl
from recurlight.recursion import compile_cells
from recurlight.types import Batch, Prediction

CLOCKS = {"wall": time.perf_counter, "process": time.process_time}
WARM = 4
"""Batches answered before the clock starts: compiled cells see their shapes there."""


class Row(NamedTuple):
    """One row of the table."""

    way: str
    cells: str
    exact: float
    segments: float
    updates: float
    computed: float
    seconds: float
    per_second: float


def solved(model: rl.RecursiveModule, batches: list[Batch], adaptive: bool) -> Iterator[Prediction]:
    """Answer batch by batch."""
    for batch in batches:
        yield model.recursion.solve(batch, model.eval_segments, adaptive, model.eval_cycles)


def streamed(model: rl.RecursiveModule, batches: list[Batch]) -> Iterator[Prediction]:
    """Answer a stream, in as many slots as a batch has rows."""
    limits = {"max_segments": model.eval_segments, "cycles": model.eval_cycles}
    yield from (found for _, found in model.recursion.stream(batches, **limits))


WAYS: dict[str, Callable[..., Iterator[Prediction]]] = {
    "fixed": partial(solved, adaptive=False),
    "adaptive": partial(solved, adaptive=True),
    "stream": streamed,
}


def loaded(options: argparse.Namespace) -> tuple[rl.RecursiveModule, list[Batch]]:
    """Return the model and its puzzles in batches."""
    model = rl.RecursiveModule.load_from_checkpoint(options.ckpt_path, map_location=options.device).eval()
    changes: dict[str, Any] = {"eval_batch_size": options.slots}
    if options.seed is not None:
        changes |= {"seed": options.seed, "num_test": options.puzzles, "num_train": 1, "num_val": 1}
    data = rl.PuzzleData.load_from_checkpoint(options.ckpt_path, **changes)
    data.prepare_data()
    data.setup("test")
    left, batches = options.puzzles, []
    for batch in data.test_dataloader():
        if left > 0:
            batches.append(Batch(*(field[:left].to(options.device) for field in batch)))
        left -= len(batch.task)
    return model, batches


def timed(
    answer: Callable[[], list[Prediction]], options: argparse.Namespace
) -> tuple[list[Prediction], float]:
    """Return the answers and the median of the seconds that they took."""
    clock, seconds = CLOCKS[options.clock], []
    for _ in range(options.repeats):
        start = clock()
        found = answer()
        if options.device != "cpu":
            torch.get_device_module(options.device).synchronize()
        seconds.append(clock() - start)
    return found, statistics.median(seconds)


def measured(
    model: rl.RecursiveModule, batches: list[Batch], way: str, cells: str, options: argparse.Namespace
) -> Row:
    """Answer all puzzles in one way."""
    rows = 0

    def count(module: Any, given: Any, logits: torch.Tensor) -> None:
        nonlocal rows
        rows += len(logits)

    list(WAYS[way](model, batches[:WARM]))
    hook = model.recursion.decoder.register_forward_hook(count)
    found, seconds = timed(lambda: list(WAYS[way](model, batches)), options)
    hook.remove()
    right = [
        model.loss.right(one.logits, batch.labels)[batch.answered()]
        for one, batch in zip(found, batches, strict=True)
    ]
    each = (model.eval_cycles or model.recursion.cycles) * len(model.recursion.refiner.schedule())
    puzzles = sum(len(batch.task) for batch in batches)
    segments = torch.cat([one.segments for one in found]).float().mean().item()
    computed = rows / options.repeats / puzzles * each
    exact = torch.cat(right).float().mean().item()
    return Row(way, cells, exact, segments, segments * each, computed, seconds, puzzles / seconds)


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown, with the speed beside that of the first."""
    lines = [
        "| way | cells | exact | segments | updates per puzzle | computed | puzzles per second | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        base = [one.per_second for one in rows if one.way == "fixed" and one.cells == row.cells]
        ratio = f"{row.per_second / base[0]:.1f}" if base else ""
        lines.append(
            f"| {row.way} | {row.cells} | {row.exact:.1%} | {row.segments:.2f} | {row.updates:.1f} "
            f"| {row.computed:.1f} | {row.per_second:,.0f} | {ratio} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Print the table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ckpt_path", required=True)
    parser.add_argument("--puzzles", type=int, default=500)
    parser.add_argument("--seed", type=int, help="make new puzzles, of that seed; else the test split")
    parser.add_argument("--slots", type=int, default=128)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--cells", nargs="+", choices=["eager", "compiled"], default=["eager", "compiled"])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="process: where others use the CPU")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts")
    parser.add_argument("--out", help="JSON file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    model, batches = loaded(options)
    rows: list[Row] = []
    for cells in sorted(options.cells, reverse=True):  # eager first, for what is compiled stays so
        if cells == "compiled":
            compile_cells(model.recursion.refiner)
        try:
            rows += [measured(model, batches, way, cells, options) for way in options.ways]
        except torch._dynamo.exc.TorchDynamoException as error:
            print(f"cells cannot be compiled here: {str(error).strip().splitlines()[0]}")
    print(table(rows))
    if options.out:
        told = vars(options) | {"torch": torch.__version__, "rows": [row._asdict() for row in rows]}
        Path(options.out).write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()

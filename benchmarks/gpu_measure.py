"""What `gpu.py` measures: the matrix peak, training steps of recipes with their arithmetic, and pipelines.

Nothing here knows budgets or files. Weights, puzzles and slots of a step are random: its work does not depend
on them. Everything also runs on a CPU, where it says little and is tested.
"""

from __future__ import annotations

import gc
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from train_step import peak_memory

import recurlight as rl
from recurlight.cli.app import RecurlightCLI
from recurlight.cli.app import run as command
from recurlight.codec import add_tables
from recurlight.optim import make_optimizer
from recurlight.recursion import compile_cells
from recurlight.supervision import Turn
from recurlight.types import Batch

DTYPES = {"bf16": torch.bfloat16, "32": torch.float32}
PRECISIONS = {"bf16": "bf16-mixed", "32": "32-true"}

_COUNTS = ["--data.source=generated", "--data.num_train=24", "--data.num_val=4", "--data.num_test=4"]
SMALL = {
    "sudoku": ["--config=small", *_COUNTS],
    "maze": ["--config=small_maze", *_COUNTS],
    "arc1": ["--config=small_arc", "--data.max_tasks=4"],
}
"""What makes recipes small, by the last word of their names."""

QUIET = ["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"]


class Place(NamedTuple):
    """Where, and at which size.

    Attributes:
        device: `cuda` or `cpu`.
        small: Take the smallest sizes that still go through everything.
        flags: Settings of recipes, as on the command line of `recurlight fit`.
    """

    device: torch.device
    small: bool = False
    flags: tuple[str, ...] = ()

    def wait(self) -> None:
        """Wait for all that the device was asked to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, task: Callable[[], Any]) -> float:
        """Return how long a task takes, waited for."""
        self.wait()
        start = time.perf_counter()
        task()
        self.wait()
        return time.perf_counter() - start


def made(recipe: str, place: Place, *more: str) -> RecurlightCLI:
    """Make data, model and trainer of a recipe, as the command line does, and run nothing."""
    task = recipe.removesuffix("_fast").removesuffix("_extreme").rpartition("_")[2]
    words = [f"--config={recipe}", *(SMALL.get(task, _COUNTS) if place.small else [])]
    if place.small:
        words += ["--model.width=32", "--data.batch_size=4"]
    words += [f"--trainer.{name}=false" for name in QUIET] + ["--seed_everything=0", "--trainer.devices=1"]
    words += [f"--trainer.accelerator={'gpu' if place.device.type == 'cuda' else 'cpu'}"]
    found: list[RecurlightCLI] = []
    command("fit", [*words, *place.flags, *more], found.append)
    return found[0]


def matrix_peak(place: Place, precision: str) -> dict[str, float]:
    """Return the arithmetic per second of large square matrix products, the best of several rounds."""
    size, rounds = (128, 3) if place.small else (8192, 10)
    left, right = (torch.randn(size, size, device=place.device, dtype=DTYPES[precision]) for _ in range(2))
    torch.mm(left, right)
    best = min(place.seconds(lambda: torch.mm(left, right)) for _ in range(rounds))
    return {"size": size, "flop_per_s": 2 * size**3 / best}


class Step:
    """One training step of a recipe's model on a carry of random samples.

    Args:
        model: Already on its device.
        place: Where.
        slots: Slots `B`.
        precision: Key of `DTYPES`.
        graphs: The cells are CUDA graphs, which want to know where a step begins.
    """

    def __init__(
        self,
        model: rl.RecursiveModule,
        place: Place,
        slots: int,
        precision: str = "32",
        graphs: bool = False,
    ) -> None:
        self.model, self.place, self.bf16, self.graphs = model, place, precision == "bf16", graphs
        self.optimizer = add_tables(make_optimizer(model.optimizer, model, model.optimizer_groups), model)
        sizes = model.recursion.sizes
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(1, sizes.vocab, (slots, sizes.tokens), generator=generator)
        task = torch.randint(sizes.tasks, (slots,), generator=generator)
        self.batch = Batch(*(part.to(place.device) for part in (tokens, tokens, task)))
        with self.autocast():
            self.carry = model.supervision.start(model.recursion, self.batch)
        self.count = 0

    def autocast(self) -> torch.autocast:
        """Enter the precision, weights cast at each use as Lightning's `bf16-mixed` does."""
        kind = self.place.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=self.bf16, cache_enabled=False)

    def __call__(self) -> None:
        """Ask for the step; it is not waited for."""
        if self.graphs:
            torch.compiler.cudagraph_mark_step_begin()
        model, turn = self.model, Turn(self.count, self.model.halting_weight)
        with self.autocast():
            learnt = model.supervision.step(model.recursion, self.carry, self.batch, model.loss, turn)
        self.carry = learnt.carry
        learnt.loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.count += 1


def flop_per_slot(model: rl.RecursiveModule, place: Place) -> float:
    """Count the arithmetic of all matrix products of a step, forward and backward, for one slot."""
    step = Step(model, place, 2)
    # Fused attention is not counted on every device, and computes its products anew in the backward pass.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        step()
    return counted.get_total_flops() / 2


class _Reads(TorchDispatchMode):
    """Keeps the operations for which an accelerator would be waited for."""

    KINDS = (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.masked_select)

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in self.KINDS:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@contextmanager
def waits(place: Place) -> Iterator[list[str]]:
    """Collect where the host waits for the device meanwhile; on a CPU, where it would."""
    if place.device.type != "cuda":
        with _Reads() as reads:
            yield reads.found
        return
    found: list[str] = []
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            yield found
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found += [f"{one.filename}:{one.lineno}" for one in told if "synchroniz" in str(one.message)]


def prepared(model: rl.RecursiveModule, how: str, place: Place) -> None:
    """Make a model's cells `eager`, `compiled`, or `graphs`, which is compiled into CUDA graphs."""
    torch.compiler.reset()  # earlier graphs take memory, and count towards the limit of compilations
    if how == "compiled":
        compile_cells(model.recursion.refiner, "aot_eager" if place.small else "inductor")
    if how == "graphs":
        for cell in set(model.recursion.refiner.cells().values()):
            cell.compile(mode="reduce-overhead", fullgraph=True)


def timed(model: rl.RecursiveModule, place: Place, slots: int, precision: str, how: str) -> dict[str, Any]:
    """Time steps, each waited for, and say where one of them waits by itself."""
    if place.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    step = Step(model, place, slots, precision, how == "graphs")
    for _ in range(3):  # graphs are recorded in the second
        step()
    long = place.seconds(step)
    count = 2 if place.small else max(4, min(40, int(6 / long)))
    found = [place.seconds(step) * 1e3 for _ in range(count)] + [long * 1e3]
    low, median, high = statistics.quantiles(found, n=4)
    row = {"slots": slots, "ms": median, "ms_low": low, "ms_high": high, "steps": len(found)}
    row["peak_gb"] = peak_memory(place.device)
    if how == "eager":  # modes that watch operations do not see into compiled ones
        with waits(place) as places:
            step()
        row["waits"] = places
    return row


def training_step(
    recipe: str, place: Place, precision: str, how: str, slots: int | None = None
) -> dict[str, Any]:
    """Measure the step of a recipe; where its slots do not fit the memory, with half as many, and so on.

    Args:
        recipe: Name of the recipe.
        place: Where, and at which size.
        precision: Key of `DTYPES`.
        how: `eager`, `compiled` or `graphs`.
        slots: Slots to begin with; None for the recipe's batch size.
    """
    whole = made(recipe, place)
    model = whole.model.to(place.device).train()
    flop = flop_per_slot(model, place)
    prepared(model, how, place)
    row = fitting(
        lambda rows: timed(model, place, rows, precision, how), slots or whole.datamodule.batch_size
    )
    row |= {"flop": flop * row["slots"], "samples_per_s": row["slots"] / row["ms"] * 1e3}
    weights = sum(weight.numel() for weight in model.parameters())
    return row | {"positions": model.recursion.sizes.positions, "parameters": weights}


def fitting(task: Callable[[int], dict[str, Any]], slots: int) -> dict[str, Any]:
    """Run a task with the first of `slots`, `slots / 2`, ... that fits the device's memory."""
    while True:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            return task(slots)
        except torch.OutOfMemoryError:
            if slots == 1:
                raise
        slots //= 2  # out here, where the error no longer holds the tensors


def pipeline(recipe: str, place: Place) -> dict[str, float]:
    """Measure a recipe's data: seconds of set-up, and batches per second of wall time after the first."""
    data = made(recipe, place).datamodule
    start = time.perf_counter()
    data.prepare_data()
    data.setup("fit")
    ready, limit = time.perf_counter(), 0.05 if place.small else 3.0
    count, begun = 0, 0.0
    for _ in data.train_dataloader():
        begun = begun or time.perf_counter()
        if time.perf_counter() - begun > limit:
            break
        count += 1
    rate = count / (time.perf_counter() - begun)
    return {"batch": data.batch_size, "set_up_s": ready - start, "batches_per_s": rate}

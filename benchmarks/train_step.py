"""Time one training step (one segment, its backward and the optimizer) at the published sizes.

    python benchmarks/train_step.py --model trm_mixer --batch 16 --precision 32
    python benchmarks/train_step.py --model all --precision bf16 --device cuda --batch 768 --compile

Weights, puzzles and slots are random: the work of a step does not depend on them. Each step is waited for.
"""

from __future__ import annotations

import argparse
import gc
import platform
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

import recurlight as rl
from recurlight.types import Batch, Sizes


class Published(NamedTuple):
    """A published composition."""

    refiner: Callable[[], rl.Refiner[Any]]
    truncation: rl.GradientTruncation
    halting: Callable[[], rl.Halting]
    cycles: int


MODELS = {
    "trm_mixer": Published(
        lambda: rl.TwoLevelRefiner(rl.MixerCell(2), None, 6), rl.LastCycles(1), rl.CorrectnessHalting, 3
    ),
    "trm_attention": Published(
        lambda: rl.TwoLevelRefiner(rl.TransformerCell(2), None, 6), rl.LastCycles(1), rl.CorrectnessHalting, 3
    ),
    "hrm": Published(
        lambda: rl.TwoLevelRefiner(rl.TransformerCell(4), rl.TransformerCell(4), 2),
        rl.LastUpdates(2),
        rl.QLearningHalting,
        2,
    ),
}


class Step:
    """One training step on a carry of random samples.

    Args:
        name: Key of `MODELS`.
        options: Command-line options.
    """

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        parts = MODELS[name]
        sizes = Sizes(vocab=11, tokens=options.tokens, width=options.width, prefix=options.prefix)
        self.device = torch.device(options.device)
        self.bf16 = options.precision == "bf16"
        self.recursion = rl.Recursion(
            sizes, parts.refiner(), parts.truncation, parts.halting(), cycles=parts.cycles
        ).to(self.device)
        if options.compile:
            for cell in set(self.recursion.refiner.cells().values()):
                cell.compile()
        self.loss = rl.StablemaxCrossEntropy()
        self.optimizer = rl.AdamATan2(self.recursion.parameters(), lr=1e-4, weight_decay=1.0)
        tokens = torch.randint(1, 11, (options.batch, options.tokens), generator=torch.manual_seed(0))
        self.batch = Batch(tokens, tokens, torch.zeros(options.batch, dtype=torch.int64))
        self.batch = Batch(*(part.to(self.device) for part in self.batch))
        with self.autocast():
            self.carry = self.recursion.start(self.batch)
        self.count = 0

    def autocast(self) -> torch.autocast:
        """Enter the precision of the run, weights cast at each use as Lightning's `bf16-mixed` does."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False)

    def __call__(self) -> None:
        """Run the step and wait for it."""
        with self.autocast():
            self.carry, loss, _, _ = self.recursion.learn(self.carry, self.batch, self.loss, self.count)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.count += 1
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def peak_memory(device: torch.device) -> float:
    """Return the peak memory in GB: of the GPU's allocator, or of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * (1 if platform.system() == "Darwin" else 1024) / 1e9


def measure(name: str, options: argparse.Namespace) -> str:
    """Time a model and return its row of the table."""
    gc.collect()
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    step = Step(name, options)
    for _ in range(options.warmup):
        step()
    seconds = []
    for _ in range(options.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    weights = sum(parameter.numel() for parameter in step.recursion.parameters()) / 1e6
    return (
        f"{name:14}{weights:8.2f} M{options.prefix + options.tokens:7}{options.batch:7}{options.precision:>7}"
        f"{median * 1e3:11.1f}{options.batch / median:12.1f}{peak_memory(step.device):9.2f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", choices=[*MODELS, "all"], default="trm_mixer")
    parser.add_argument("--batch", type=int, default=16, help="slots")
    parser.add_argument("--tokens", type=int, default=81)
    parser.add_argument("--prefix", type=int, default=0, help="task-prefix positions; 16 in published TRM")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--precision", choices=["32", "bf16"], default="32")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--compile", action="store_true", help="compile each cell in place")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {options.threads} threads"
    print(f"torch {torch.__version__}, {device}, {'compiled' if options.compile else 'eager'}, medians")
    print("model         parameters tokens  batch  dtype    ms/step   samples/s  peak GB")
    for name in MODELS if options.model == "all" else [options.model]:
        print(measure(name, options), flush=True)


if __name__ == "__main__":
    main()

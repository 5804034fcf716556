"""Measure the memory of one training step for each truncation, from few cycles to many.

    python benchmarks/memory.py
    python benchmarks/memory.py --cycles 8 16 32 64 --batch 4 --width 128

`saved` are the bytes that autograd keeps for the backward pass, the weights aside; `peak` is the highest sum
of all allocations during the step, forward and backward, by the profiler's account of each. Both are counted,
so that nothing else on the machine disturbs them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import recurlight as rl
from recurlight.types import Batch, Sizes

POLICIES: dict[str, rl.GradientTruncation] = {
    "EveryUpdate": rl.EveryUpdate(),
    "LastCycles(1)": rl.LastCycles(1),
    "PhantomGradient(5)": rl.PhantomGradient(5),
    "NeumannGradient(5)": rl.NeumannGradient(5),
    "NeumannGradient(0), Jacobian-free": rl.NeumannGradient(0),
    "ImplicitGradient": rl.ImplicitGradient(),
}


class Step:
    """One training step of one segment, on random weights and samples.

    Args:
        policy: The truncation.
        cycles: Cycles of the segment.
        options: Command-line options.
    """

    def __init__(self, policy: rl.GradientTruncation, cycles: int, options: argparse.Namespace) -> None:
        sizes = Sizes(vocab=11, tokens=options.tokens, width=options.width)
        refiner = rl.SingleRefiner(rl.TransformerCell(2, heads=4))
        self.recursion = rl.Recursion(sizes, refiner, policy, rl.FixedHalting(), cycles=cycles)
        tokens = torch.randint(1, 11, (options.batch, options.tokens), generator=torch.manual_seed(0))
        self.batch = Batch(tokens, tokens, torch.zeros(options.batch, dtype=torch.int64))
        self.carry = self.recursion.start(self.batch)

    def loss(self) -> Tensor:
        """Run the forward pass."""
        _, segment, _ = self.recursion.segment(self.carry, self.batch)
        return rl.StablemaxCrossEntropy()(segment.logits, self.batch.labels).mean()

    def whole(self) -> None:
        """Run the whole step but the optimizer."""
        self.recursion.zero_grad()
        self.loss().backward()

    def saved(self) -> int:
        """Count the bytes that autograd saves, each storage once, without those of the weights."""
        weights = {weight.untyped_storage().data_ptr() for weight in self.recursion.parameters()}
        found: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                found[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self.loss()
        return sum(found.values())


def peak(step: Callable[[], None]) -> int:
    """Add up every allocation and release in order, and return the highest sum."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    total = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        highest = max(highest, total)
    return highest


def main() -> None:
    """Print a table in megabytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cycles", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=81)
    parser.add_argument("--width", type=int, default=128)
    options = parser.parse_args()
    print(f"| policy | {' | '.join(f'saved, {c} | peak, {c}' for c in options.cycles)} | peak grows by |")
    print(f"| --- |{' --- |' * (2 * len(options.cycles) + 1)}")
    for name, policy in POLICIES.items():
        steps = [Step(policy, cycles, options) for cycles in options.cycles]
        found = [(step.saved(), peak(step.whole)) for step in steps]
        cells = " | ".join(f"{saved / 1e6:.1f} | {high / 1e6:.1f}" for saved, high in found)
        print(f"| {name} | {cells} | {100 * (found[-1][1] / found[0][1] - 1):.1f} % |", flush=True)


if __name__ == "__main__":
    main()

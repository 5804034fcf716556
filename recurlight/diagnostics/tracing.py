"""What the state does over the updates and segments of a solve."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from recurlight import draw
from recurlight.diagnostics.resting import lent
from recurlight.diagnostics.watching import Watched
from recurlight.halting.convergence import relative_change
from recurlight.numerics import at_least_float32
from recurlight.recursion.driver import Recursion
from recurlight.types import Batch, Prediction, State

__all__ = ["Step", "Trace", "flat", "trace"]


class Step(NamedTuple):
    """What one update did.

    Attributes:
        segment: Number of its segment, from 1.
        level: Level that it wrote.
        change: Relative change of that level, `||after - before|| / ||after||`, `(B,)`.
    """

    segment: int
    level: str
    change: Tensor


class Trace(NamedTuple):
    """A solve as it went, without gradient.

    Attributes:
        steps: What each update did, in order; where a solver looks for a fixed point, at each point it tried.
        states: The state at the start and after each segment, `S + 1` of them.
        injections: What the updates of each segment saw of the question, `(B, N, D)`.
        predictions: Where each row stood after each segment.
    """

    steps: tuple[Step, ...]
    states: tuple[State, ...]
    injections: tuple[Tensor, ...]
    predictions: tuple[Prediction, ...]

    def levels(self) -> tuple[str, ...]:
        """Return the levels that were written, in the order of their first update."""
        return tuple(dict.fromkeys(step.level for step in self.steps))

    def changes(self, level: str) -> Tensor:
        """Return the relative changes of one level, `(U, B)` for its `U` updates."""
        return torch.stack([step.change for step in self.steps if step.level == level])


@torch.no_grad()
def trace(recursion: Recursion, batch: Batch, segments: int, cycles: int | None = None) -> Trace:
    """Solve a batch, all rows for all segments as `Recursion.unroll` does, and keep what the state did.

    Args:
        recursion: The driver; wrap the call in `at_rest` to leave it as it was.
        batch: Questions, `(B, ...)`.
        segments: Segments to run.
        cycles: Cycles in a segment; None for the driver's own.

    Example:
        >>> from recurlight import EveryUpdate, FixedHalting, MixerCell, SingleRefiner, Sizes
        >>> sizes = Sizes(vocab=6, tokens=16, width=32)
        >>> recursion = Recursion(sizes, SingleRefiner(MixerCell()), EveryUpdate(), FixedHalting(), cycles=3)
        >>> zeros = torch.zeros(4, 16, dtype=torch.int64)
        >>> trace(recursion, Batch(zeros, zeros, zeros[:, 0]), segments=2).changes("answer").shape
        torch.Size([6, 4])
    """
    carry = recursion.start(batch)
    notes, states, injections, predictions = _Notes(), [], [], []
    watched = Watched(recursion.refiner, notes.take)
    for number in range(1, segments + 1):
        notes.segment = number
        with draw.of_batch(len(carry.age)), lent(recursion, refiner=watched):
            carry, segment, score = recursion.segment(carry, carry.batch, cycles)
        halted, confidence = recursion.halting.should_halt(score, carry.age), recursion.halting.confidence
        predictions.append(Prediction(segment.logits, carry.age, halted, confidence(score)))
        if recursion.feedback is not None:
            guess = recursion.feedback.towards(segment.logits, carry, segments)
            carry = carry._replace(guess=guess)
        states.append(carry.state)
        injections.append(notes.injection)
    return Trace(tuple(notes.steps), (notes.start, *states), tuple(injections), tuple(predictions))


def flat(state: State) -> Tensor:
    """Return the numbers of a state, row by row, `(B, F)` in float32 or more."""
    fields = [leaf for leaf in tree_leaves(state) if leaf.is_floating_point()]
    return torch.cat([at_least_float32(leaf).flatten(1) for leaf in fields], dim=1)


class _Notes:
    """What is kept of the updates of a solve."""

    def __init__(self) -> None:
        self.segment = 0
        self.steps: list[Step] = []
        self.start: Any = None
        self.injection = torch.zeros(())

    def take(self, before: Any, after: Any, injection: Tensor, level: str) -> None:
        """Note one update."""
        self.start = before if self.start is None else self.start
        change = relative_change(getattr(before, level), getattr(after, level))
        self.steps.append(Step(self.segment, level, change))
        self.injection = injection

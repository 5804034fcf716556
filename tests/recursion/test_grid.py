"""Every refiner with every truncation, halting policy and cell: it trains, or is refused when made."""

from __future__ import annotations

import copy
import inspect
import itertools
from typing import ClassVar

import pytest
import torch
from helpers import batch
from torch import Tensor, nn

from recurlight import cells, halting, refiners, truncation
from recurlight.cells import (
    CausalTransformerCell,
    ConvCell,
    ConvTransformerCell,
    MixerCell,
    PoolingCell,
    PreNormCell,
    TransformerCell,
)
from recurlight.errors import IncompatibleComponents
from recurlight.halting import ConvergenceHalting, CorrectnessHalting, FixedHalting, Halting, QLearningHalting
from recurlight.losses import StablemaxCrossEntropy, exactly_right
from recurlight.optim import AdamATan2
from recurlight.recursion.driver import Recursion
from recurlight.refiners import (
    AddedInjection,
    DampedRefiner,
    InjectedRefiner,
    QuestionStartRefiner,
    Refiner,
    SingleRefiner,
    SingleState,
    StartVector,
    TwoLevelRefiner,
)
from recurlight.truncation import (
    EveryUpdate,
    FixedPointGradient,
    GradientTruncation,
    ImplicitGradient,
    LastCycles,
    LastPerLevel,
    LastUpdates,
    NeumannGradient,
    PhantomGradient,
)
from recurlight.types import Sizes

SIZES = Sizes(vocab=4, tokens=4, width=8, prefix=1, tasks=2)
LENGTHS = [(1, 1), (1, 3), (3, 1), (2, 3)]  # cycles, max_segments


class Alternating(Refiner[SingleState]):
    """A cycle that is another map every second time, as of a refiner with step embeddings."""

    stationary: ClassVar[bool] = False

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.start, self.sign = cell, StartVector(), 1.0

    def cells(self) -> dict[str, nn.Module]:
        return {"answer": self.cell}

    def schedule(self) -> tuple[str, ...]:
        return ("answer",)

    def initial_state(self, injection: Tensor) -> SingleState:
        return SingleState(self.start(injection))

    def update(self, state: SingleState, injection: Tensor, level: str) -> SingleState:
        self.sign = -self.sign
        return SingleState(self.cell(state.answer + self.sign * injection))


CELLS = {
    "mixer": MixerCell(1, multiple=8),
    "attention": TransformerCell(1, heads=2, multiple=8),
    "convolution": ConvTransformerCell(1, heads=2, multiple=8),
    "convolutions alone": ConvCell(1),
    "pooling": PoolingCell(1, multiple=8),
    "causal": CausalTransformerCell(1, heads=2, multiple=8),
    "pre-norm": PreNormCell(1, heads=2, multiple=8),
}
REFINERS = {
    "single": lambda cell: SingleRefiner(cell()),
    "shared": lambda cell: TwoLevelRefiner(cell(), latent_steps=2),
    "two": lambda cell: TwoLevelRefiner(cell(), cell(), latent_steps=2),
    "alternating": lambda cell: Alternating(cell()),
    "damped": lambda cell: DampedRefiner(SingleRefiner(cell()), 0.5),
    "injected": lambda cell: InjectedRefiner(cell(), AddedInjection()),
}
PAIRS = [
    *itertools.product(list(REFINERS)[:4], list(CELLS)[:3]),
    *(("single", cell) for cell in list(CELLS)[3:]),
    *((refiner, "mixer") for refiner in list(REFINERS)[4:]),
]
"""Refiners with cells: what goes around another part, or differs in its inside alone, is tried with one."""
STARTED = QuestionStartRefiner(nn.Identity())
"""Its windows must reach the start, see tests/refiners and tests/recursion/test_checks.py."""
TRUNCATIONS: list[GradientTruncation] = [
    EveryUpdate(),
    LastUpdates(1),
    LastUpdates(2),
    LastUpdates(5),
    LastCycles(1),
    LastCycles(2),
    LastPerLevel({"answer": 1}),
    LastPerLevel({"answer": 2, "latent": 3}),
    PhantomGradient(steps=2),
    NeumannGradient(steps=0),
    NeumannGradient(steps=2),
    ImplicitGradient(backward_steps=3),
]
HALTING: list[Halting] = [FixedHalting(), CorrectnessHalting(), QLearningHalting(), ConvergenceHalting(0.3)]


def obstacles(
    refiner: str, policy: GradientTruncation, stop: Halting, cycles: int, segments: int
) -> list[str]:
    """Say in words, apart from the package's checks, why a composition cannot train; nothing if it can."""
    two_levels = refiner in ("shared", "two")
    updates = cycles * (3 if two_levels else 1)
    fixed_point = isinstance(policy, PhantomGradient | FixedPointGradient)
    short = {"latent": 2 * cycles * two_levels, "answer": cycles}
    trains = {
        "nothing ahead to look at": not (isinstance(stop, QLearningHalting) and segments == 1),
        "no fixed point": not (fixed_point and refiner == "alternating"),
        "too few cycles": not (fixed_point and cycles < 2),
        "window longer than the updates": not (isinstance(policy, LastUpdates) and policy.count > updates),
        "window longer than the cycles": not (isinstance(policy, LastCycles) and policy.count > cycles),
        "budget longer than the level": not (
            isinstance(policy, LastPerLevel) and any(n > short[level] for level, n in policy.counts.items())
        ),
        "neither the encoder nor the latent gets gradient": not (
            two_levels and policy in (LastUpdates(1), LastPerLevel({"answer": 1}))
        ),
    }
    return [name for name, fine in trains.items() if not fine]


def train(recursion: Recursion) -> None:
    """Two optimizer steps, the second from a carry in which some slots have halted."""
    optimizer, loss = AdamATan2(recursion.parameters(), lr=1e-3), StablemaxCrossEntropy()
    carry = recursion.start(batch(3, sizes=SIZES))
    for step in range(2):
        carry, segment, score = recursion.segment(carry, batch(3, seed=step, sizes=SIZES))
        outcome = recursion.outcome(carry, exactly_right(segment.logits, carry.batch.labels))
        total = (loss(segment.logits, carry.batch.labels) + recursion.halting.loss(score, outcome)).mean()
        assert total.isfinite()
        optimizer.zero_grad()
        total.backward()
        for name, weight in recursion.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name
            assert weight.grad.any(), name
        optimizer.step()
        carry = recursion.halt(carry, score.detach(), step)._replace(halted=torch.tensor([True, False, True]))


def compose(refiner: str, cell: str, policy: GradientTruncation, stop: Halting, lengths: tuple[int, int]):
    made = REFINERS[refiner](lambda: copy.deepcopy(CELLS[cell]))
    return Recursion(SIZES, made, policy, copy.deepcopy(stop), cycles=lengths[0], max_segments=lengths[1])


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("policy", TRUNCATIONS, ids=lambda policy: repr(policy).split("(solver")[0])
@pytest.mark.parametrize(("refiner", "cell"), PAIRS)
def test_it_trains_or_is_refused_when_it_is_made(refiner, policy, cell, lengths):
    for stop in HALTING:
        reasons = obstacles(refiner, policy, stop, *lengths)
        if reasons:
            with pytest.raises(IncompatibleComponents) as refusal:
                compose(refiner, cell, policy, stop, lengths)
            assert "\n" not in str(refusal.value)
            assert any(
                word in str(refusal.value) for word in (": set ", "; set ", "to at most", "set counts")
            )
        else:
            recursion = compose(refiner, cell, policy, stop, lengths)
            train(recursion)
            assert recursion.solve(batch(3, sizes=SIZES), 2).logits.isfinite().all()


def test_most_of_the_grid_trains():
    points = itertools.product(REFINERS, TRUNCATIONS, HALTING, LENGTHS)
    refused = [bool(obstacles(*point[:3], *point[3])) for point in points]
    assert 0.25 < sum(refused) / len(refused) < 0.6


@pytest.mark.parametrize(
    ("axis", "base", "tried"),
    [
        (cells, nn.Module, CELLS.values()),
        (halting, Halting, HALTING),
        (truncation, GradientTruncation, TRUNCATIONS),
        (refiners, Refiner, [STARTED, *(make(nn.Identity) for make in REFINERS.values())]),
    ],
    ids=["cells", "halting", "truncation", "refiners"],
)
def test_every_exported_strategy_is_in_the_grid(axis, base, tried):
    exported = (getattr(axis, name) for name in axis.__all__)
    kinds = {kind for kind in exported if inspect.isclass(kind) and issubclass(kind, base)}
    concrete = {kind for kind in kinds if not inspect.isabstract(kind)} - {StartVector}
    assert concrete <= {type(strategy) for strategy in tried}

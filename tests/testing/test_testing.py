"""The checks for users: our own parts pass, and each broken part fails the check that is named after it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from recurlight import draw, halting, refiners, truncation
from recurlight.cells import MixerCell, TransformerCell
from recurlight.halting import CorrectnessHalting, FixedHalting, Halting
from recurlight.recursion import Recursion
from recurlight.refiners import (
    DampedRefiner,
    InjectedRefiner,
    ProjectedInjection,
    Refiner,
    SingleRefiner,
    SingleState,
    StartVector,
    TwoLevelRefiner,
    TwoLevelState,
)
from recurlight.testing import ContractError, check_halting, check_refiner, check_truncation
from recurlight.testing.report import run
from recurlight.testing.task import TINY, gradients, questions
from recurlight.truncation import EveryUpdate, GradientTruncation, LastCycles, LastPerLevel, PhantomGradient

NO_COMPILER = {"compile": "takes a second, and is tried below"}


def cell() -> MixerCell:
    return MixerCell(1, multiple=32)


def attention() -> TransformerCell:
    return TransformerCell(4, heads=2, multiple=32)


def exported(axis, base) -> list[type]:
    kinds = (getattr(axis, name) for name in axis.__all__)
    return [k for k in kinds if isinstance(k, type) and issubclass(k, base) and not inspect.isabstract(k)]


@pytest.mark.parametrize("kind", exported(refiners, Refiner))
def test_our_refiners_pass(kind):
    """Fails if a check is stricter than the contract."""
    made = {
        DampedRefiner: lambda: DampedRefiner(TwoLevelRefiner(cell())),
        InjectedRefiner: lambda: InjectedRefiner(cell(), ProjectedInjection()),
    }
    findings = check_refiner(made.get(kind, lambda: kind(cell())), exclude=NO_COMPILER)
    assert set(findings.values()) == {None}


@pytest.mark.parametrize("name", ["plain", "dropout"])
def test_cells_are_compiled(name):
    """Fails if the check of compilation is stricter than the contract, or what draws cannot pass it."""
    wanted = dict.fromkeys(CHECKS - {"composes", "compile"}, "not now")
    build = RIGHT[name] if name in RIGHT else lambda: SingleRefiner(cell())
    assert check_refiner(build, exclude=wanted) == {"composes": None, "compile": None}


POLICIES = {LastPerLevel: LastPerLevel({"latent": 3, "answer": 2}), PhantomGradient: PhantomGradient(2)}


@pytest.mark.parametrize("kind", exported(truncation, GradientTruncation))
def test_our_truncations_pass(kind):
    """Fails if a check is stricter than the contract."""
    assert set(check_truncation(POLICIES.get(kind) or kind()).values()) == {None}


@pytest.mark.parametrize("kind", exported(halting, Halting))
def test_our_halting_policies_pass(kind):
    """Fails if a check is stricter than the contract."""
    assert set(check_halting(kind).values()) == {None}


class Centred(SingleRefiner):
    def update(self, state, injection, level):
        answer = self.cell(state.answer + injection)
        return SingleState(answer - answer.mean(0, keepdim=True))


class Alternating(SingleRefiner):
    sign = 1.0

    def update(self, state, injection, level):
        self.sign = -self.sign
        return SingleState(self.cell(state.answer + self.sign * injection))


class Dropping(SingleRefiner):
    stationary = False


class Noisy(TwoLevelRefiner):
    """As Huginn starts, at noise, and as EqR goes on, with noise in every update and damped."""

    stationary = False

    def initial_state(self, injection):
        return TwoLevelState(*(draw.normal(injection) for _ in range(2)))

    def update(self, state, injection, level):
        after = super().update(state, injection + 0.01 * draw.normal(injection), level)
        damped = 0.05 * getattr(state, level) + 0.95 * getattr(after, level)
        return after._replace(**{level: damped})


class Foreign(SingleRefiner):
    stationary = False

    def update(self, state, injection, level):
        return SingleState(self.cell(state.answer + injection + 0.1 * torch.randn_like(injection)))


class Blind(SingleRefiner):
    """Draws right on two ranks, but by the place of a row among those that are left."""

    stationary = False

    def update(self, state, injection, level):
        with draw.of_batch(len(injection)):
            return SingleState(self.cell(state.answer + injection + 0.1 * draw.normal(injection)))


class Private(SingleRefiner):
    stationary = False

    def __init__(self, cell):
        super().__init__(cell)
        self.draw = torch.Generator().manual_seed(0)

    def update(self, state, injection, level):
        noise = torch.randn(state.answer.shape, generator=self.draw)
        return SingleState(self.cell(state.answer + injection + noise.to(injection)))


class Warming(SingleRefiner):
    """Changes after many steps, which no short run shows."""

    steps = 0

    def update(self, state, injection, level):
        self.steps += 1
        return SingleState(self.cell(state.answer + (0.5 if self.steps > 10_000 else 1.0) * injection))


class ThreeState(NamedTuple):
    answer: Tensor
    middle: Tensor
    lowest: Tensor


class Three(Refiner[ThreeState]):
    """Three levels with a cell each, the lower ones faster."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({level: MixerCell(2, multiple=32) for level in ThreeState._fields})
        self.start = StartVector()

    def cells(self):
        return dict(self.parts)

    def schedule(self):
        return ("lowest", "lowest", "middle") * 2 + ("answer",)

    def initial_state(self, injection):
        return ThreeState(*[self.start(injection)] * 3)

    def update(self, state, injection, level):
        given = injection if level == "lowest" else 0.0
        return state._replace(**{level: self.parts[level](sum(state) + given)})


class Unused(SingleRefiner):
    def __init__(self, cell):
        super().__init__(cell)
        self.scale = nn.Parameter(torch.ones(()))


class Infinite(SingleRefiner):
    def update(self, state, injection, level):
        return SingleState(self.cell(state.answer + injection + (injection - injection).abs().sqrt()))


class Flipped(SingleRefiner):
    def update(self, state, injection, level):
        answer = self.cell(state.answer + injection)
        return SingleState(-answer if answer.dtype == torch.bfloat16 else answer)


class Drowned(nn.Module):
    """Loses the small digits that float32 has and bfloat16 has not."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        return self.cell((x + 1000.0) - 1000.0)


class Unsaved(SingleRefiner):
    def __init__(self, cell):
        super().__init__(cell)
        self.shift = next(DRAWS)

    def update(self, state, injection, level):
        return SingleState(self.cell(state.answer + injection + self.shift))


DRAWS = iter(torch.linspace(0, 1, 1000))


class Forgetful(SingleRefiner):
    def __getstate__(self):
        return super().__getstate__() | {"factor": 2.0}

    factor = 1.0

    def update(self, state, injection, level):
        return SingleState(self.cell(self.factor * state.answer + injection))


class Reading(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        return x if x.sum().item() > 1e9 else self.cell(x)


REFINERS: dict[str, Callable[[], Refiner]] = {
    "composes": lambda: SingleRefiner(nn.Linear(3, 3)),
    "rows": lambda: Centred(cell()),
    "stationary": lambda: Alternating(cell()),
    "randomness": lambda: Private(cell()),
    "slots": lambda: Foreign(cell()),
    "slots ": lambda: Blind(cell()),
    "slots  ": lambda: Dropping(nn.Sequential(nn.Dropout(0.1), cell())),
    "gradients": lambda: Unused(cell()),
    "gradients ": lambda: Infinite(cell()),
    "bfloat16": lambda: Flipped(cell()),
    "bfloat16 ": lambda: TwoLevelRefiner(Drowned(MixerCell(2, multiple=32)), latent_steps=6),
    "checkpoint": lambda: Unsaved(cell()),
    "resume": lambda: Alternating(cell()),
    "resume ": lambda: Private(cell()),
    "resume  ": lambda: Warming(cell()),
    "copy": lambda: Forgetful(cell()),
    "compile": lambda: SingleRefiner(Reading(cell())),
}
CHECKS = {name.strip() for name in REFINERS}


@pytest.mark.parametrize("name", REFINERS)
def test_a_broken_refiner_is_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    exclude = {} if name == "compile" else NO_COMPILER
    findings = check_refiner(REFINERS[name], exclude=exclude, raises=False)
    assert findings[name.strip()]
    assert "\n" not in findings[name.strip()]
    counting = ("composes", "randomness", "stationary", "resume")
    assert name.strip() in counting or findings["randomness"] is None


RIGHT: dict[str, Callable[[], Refiner]] = {
    "TRM": lambda: TwoLevelRefiner(MixerCell(multiple=32), latent_steps=6),
    "HRM": lambda: TwoLevelRefiner(attention(), attention(), latent_steps=2),
    "three cells": Three,
    "dropout": lambda: Dropping(nn.Sequential(draw.Dropout(0.1), cell())),
    "noise and random start": lambda: Noisy(cell(), latent_steps=2),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_refiner_passes(name):
    """Fails if depth amplifies rounding until a check fails, or if what draws by the rule cannot pass."""
    before = torch.get_rng_state()
    findings = check_refiner(RIGHT[name], exclude=NO_COMPILER)
    assert set(findings.values()) == {None}
    assert torch.equal(before, torch.get_rng_state())


@dataclass(frozen=True)
class Enabling(EveryUpdate):
    def run(self, refiner, state, injection, cycles):
        with torch.enable_grad():
            return super().run(refiner, state, injection, cycles)


@dataclass(frozen=True)
class Impatient(EveryUpdate):
    def run(self, refiner, state, injection, cycles):
        return super().run(refiner, state, injection, cycles if torch.is_grad_enabled() else 1)


@dataclass(frozen=True)
class Widening(EveryUpdate):
    def run(self, refiner, state, injection, cycles):
        end = super().run(refiner, state, injection, cycles)
        return type(end)(*(leaf.double() for leaf in end))


@dataclass(frozen=True)
class Mixing(EveryUpdate):
    def run(self, refiner, state, injection, cycles):
        end = super().run(refiner, state, injection, cycles)
        return end._replace(answer=end.answer - end.answer.mean(0))


@dataclass(frozen=True)
class Detaching(LastCycles):
    def run(self, refiner, state, injection, cycles):  # what the composition tries has a width of one
        return super().run(refiner, state, injection.detach() if injection.numel() > 1 else injection, cycles)


@dataclass(frozen=True)
class Generous(EveryUpdate):
    def run(self, refiner, state, injection, cycles):
        return super().run(refiner, state, injection, cycles + 1)


class Warm(LastCycles):
    last = None

    def run(self, refiner, state, injection, cycles):
        end = super().run(refiner, Warm.last or state, injection, cycles)
        Warm.last = type(end)(*(leaf.detach() for leaf in end))
        return end


class Counted(EveryUpdate):
    """Draws its window by seed and number of the run: what a run computes does not show it."""

    runs = 0

    def mask(self, schedule, cycles):
        self.runs += 1
        return self._last(torch.Generator().manual_seed(self.runs), len(schedule) * cycles)

    def _last(self, generator, total):
        length = int(torch.randint(5, total, (), generator=generator))
        return (False,) * (total - length) + (True,) * length


class Own(Counted):
    def __init__(self):
        self.draw = torch.Generator().manual_seed(0)

    def mask(self, schedule, cycles):
        return self._last(self.draw, len(schedule) * cycles)


class Late(Counted):
    def mask(self, schedule, cycles):
        self.runs += 1
        total = len(schedule) * cycles
        return (False,) * (total - 9) + (self.runs > 10_000,) * 4 + (True,) * 5


class Drawn(EveryUpdate):
    def mask(self, schedule, cycles):
        total = len(schedule) * cycles
        length = draw.number(5, total + 1)
        return (False,) * (total - length) + (True,) * length


class Shaken(EveryUpdate):
    def run(self, refiner, state, injection, cycles):
        return super().run(refiner, state, injection + 0.1 * torch.randn_like(injection), cycles)


class Crowded(EveryUpdate):
    """Its window depends on how many rows there are."""

    def run(self, refiner, state, injection, cycles):
        torch.rand(len(injection), 3)
        return super().run(refiner, state, injection, cycles)

    def mask(self, schedule, cycles):
        return Drawn().mask(schedule, cycles)


class Turning(EveryUpdate):
    def __reduce__(self):
        return PhantomGradient, (1, 0.5)


TRUNCATIONS: dict[str, GradientTruncation] = {
    "composes": LastCycles(7),
    "modes": Enabling(),
    "value": Impatient(),
    "state": Widening(),
    "rows": Mixing(),
    "slots": Shaken(),
    "slots ": Crowded(),
    "gradients": Detaching(),
    "budget": Generous(),
    "memory": Warm(),
    "memory ": Counted(),
    "memory  ": Own(),
    "memory   ": Late(),
    "resume": Counted(),
    "copy": Turning(),
}


@pytest.mark.parametrize("name", TRUNCATIONS)
def test_a_broken_truncation_is_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    found = check_truncation(TRUNCATIONS[name], raises=False)[name.strip()]
    assert found
    assert "\n" not in found


def test_a_window_may_be_drawn():
    """Fails if a window whose length is drawn for the whole batch cannot pass."""
    assert set(check_truncation(Drawn()).values()) == {None}


class Rough(CorrectnessHalting):
    def score(self, segment):
        return super().score(segment).to(segment.answer.dtype)


class Undecided(CorrectnessHalting):
    def should_halt(self, score, age):
        return super().should_halt(score, age) if len(age) == 2 else score[:, 0].sigmoid()


class Early(CorrectnessHalting):
    def should_halt(self, score, age):
        return score[:, 0] > -0.5


class Confused(Rough, Undecided):
    pass


class Relative(CorrectnessHalting):
    def should_halt(self, score, age):
        return score[:, 0] > score[:, 0].mean()


class Exploding(CorrectnessHalting):
    def loss(self, score, outcome):
        return score[:, 0].exp()


class Idle(CorrectnessHalting):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


class Drawing(FixedHalting):
    def should_halt(self, score, age):
        return draw.uniform(age) < 0.5

    def loss(self, score, outcome):
        return draw.uniform(outcome.correct).to(score.dtype)


class Gambling(FixedHalting):
    draw = None

    def should_halt(self, score, age):
        return torch.rand(len(age), generator=self.draw) < 0.5


class Secretive(Gambling):
    def __init__(self):
        super().__init__()
        self.draw = torch.Generator().manual_seed(0)

    def loss(self, score, outcome):
        return torch.rand(len(score), generator=self.draw, dtype=score.dtype)


class Scheduled(CorrectnessHalting):
    decisions = 0

    def should_halt(self, score, age):
        self.decisions += 1
        return super().should_halt(score, age) & (self.decisions > 10_000)


class Trained(CorrectnessHalting):
    def __init__(self):
        super().__init__()
        self.draw = torch.Generator().manual_seed(0)

    def loss(self, score, outcome):
        return super().loss(score * torch.rand((), generator=self.draw), outcome)


class Hidden(CorrectnessHalting):
    def __init__(self):
        super().__init__()
        self.shift = next(DRAWS)

    def score(self, segment):
        return super().score(segment) + self.shift


class Shallow(CorrectnessHalting):
    shift = 0.0

    def __getstate__(self):
        return super().__getstate__() | {"shift": 1.0}

    def score(self, segment):
        return super().score(segment) + self.shift


class Broken(FixedHalting):
    def should_halt(self, score, age):
        if age.max() == 4:
            raise ValueError("no\nscore")
        return super().should_halt(score, age)


HALTING: dict[str, Callable[[], Halting]] = {
    "composes": lambda: ONE,
    "score": Rough,
    "decision": Undecided,
    "decision ": Early,
    "rows": Relative,
    "loss": Exploding,
    "gradients": Idle,
    "randomness": Trained,
    "slots": Gambling,
    "checkpoint": Hidden,
    "resume": Secretive,
    "resume ": Scheduled,
    "copy": Shallow,
    "segments": Broken,
}
ONE = FixedHalting()


@pytest.mark.parametrize("name", HALTING)
def test_a_broken_halting_policy_is_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    found = check_halting(HALTING[name], raises=False)[name.strip()]
    assert found
    assert "\n" not in found


def test_a_halting_policy_may_draw():
    """Fails if a policy that draws by the rule cannot pass."""
    assert set(check_halting(Drawing).values()) == {None}


def test_findings_are_raised_together_unless_asked_for():
    """Fails if the first finding hides the others, or if an error is no AssertionError."""
    with pytest.raises(AssertionError, match="the halting policy breaks its contract") as caught:
        check_halting(Confused)
    assert isinstance(caught.value, ContractError)
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("  score: score returns (6, 1) torch.bfloat16: make it (6, K) torch.float32")
    assert lines[2].startswith("  decision: should_halt returns (6,) torch.float32: make it (6,) bool")


def test_an_exclusion_needs_a_name_that_exists_and_a_reason():
    """Fails if a misspelt or unexplained exclusion is taken silently."""
    with pytest.raises(ContractError, match="no check 'row'; did you mean 'rows'"):
        check_halting(Relative, exclude={"row": "mine mixes rows"})
    with pytest.raises(ContractError, match=r"'rows': \.\.\.} needs a reason"):
        check_halting(Relative, exclude={"rows": " "})
    findings = check_halting(Relative, exclude={"rows": "compares rows on purpose"})
    assert "rows" not in findings
    assert set(findings.values()) == {None}


def test_nothing_more_is_tried_on_what_does_not_compose():
    """Fails if one mistake is reported ten times."""
    assert list(check_truncation(LastCycles(7), raises=False)) == ["composes"]


def test_an_unforeseen_error_is_a_finding():
    """Fails if an exception of the user's class ends the checks."""

    def broken():
        raise ValueError("first\nsecond")

    assert run("x", {"a": lambda: None, "b": broken}, raises=False) == {"a": None, "b": "ValueError: first"}


def test_a_shared_refiner_is_refused():
    """Fails if the same object may be returned twice: later checks would see trained weights."""
    one = TwoLevelRefiner(cell())
    assert "at every call" in check_refiner(lambda: one, raises=False)["composes"]


@pytest.mark.parametrize(
    "change", [{"features": 2}, {"targets": 3}, {"features": 1, "targets": 2, "vocab": 0}, {}]
)
def test_the_task_of_the_checks_is_of_the_kind_that_the_sizes_say(change):
    """Fails if a part that is for numbers can only be tried on tokens."""
    sizes = TINY._replace(**change)
    made = Recursion(sizes, refiners.SingleRefiner(MixerCell(1)), EveryUpdate(), CorrectnessHalting())
    found = gradients(made, questions(sizes))
    assert all(grad.isfinite().all() for grad in found.values() if grad is not None)
    first, other = questions(sizes), questions(sizes, seed=1)
    assert not torch.equal(first.inputs, other.inputs)
    torch.testing.assert_close(questions(TINY).inputs[0, 1], questions(TINY).labels[0, 2])

"""The checks for users: our own parts pass, and each broken part fails the check that is named after it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from recurlight import halting, refiners, truncation
from recurlight.cells import MixerCell
from recurlight.halting import CorrectnessHalting, FixedHalting, Halting
from recurlight.refiners import Refiner, SingleRefiner, SingleState, TwoLevelRefiner
from recurlight.testing import ContractError, check_halting, check_refiner, check_truncation
from recurlight.testing.report import run
from recurlight.truncation import EveryUpdate, GradientTruncation, LastCycles, LastPerLevel, PhantomGradient

NO_COMPILER = {"compile": "takes a second, and is tried below"}


def cell() -> MixerCell:
    return MixerCell(1, multiple=32)


def exported(axis, base) -> list[type]:
    kinds = (getattr(axis, name) for name in axis.__all__)
    return [k for k in kinds if isinstance(k, type) and issubclass(k, base) and not inspect.isabstract(k)]


@pytest.mark.parametrize("kind", exported(refiners, Refiner))
def test_our_refiners_pass(kind):
    """Fails if a check is stricter than the contract."""
    findings = check_refiner(lambda: kind(cell()), exclude=NO_COMPILER)
    assert set(findings.values()) == {None}


def test_cells_are_compiled():
    """Fails if the check of compilation is stricter than the contract."""
    wanted = dict.fromkeys(CHECKS - {"composes", "compile"}, "not now")
    assert check_refiner(lambda: SingleRefiner(cell()), exclude=wanted) == {"composes": None, "compile": None}


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


class Random(SingleRefiner):
    def update(self, state, injection, level):
        return SingleState(self.cell(nn.functional.dropout(state.answer, 0.1) + injection))


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
    "randomness": lambda: Random(cell()),
    "gradients": lambda: Unused(cell()),
    "gradients ": lambda: Infinite(cell()),
    "bfloat16": lambda: Flipped(cell()),
    "checkpoint": lambda: Unsaved(cell()),
    "resume": lambda: Alternating(cell()),
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
    assert name in ("composes", "randomness", "stationary", "resume") or findings["randomness"] is None


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


class Turning(EveryUpdate):
    def __reduce__(self):
        return PhantomGradient, (1, 0.5)


TRUNCATIONS: dict[str, GradientTruncation] = {
    "composes": LastCycles(7),
    "modes": Enabling(),
    "value": Impatient(),
    "state": Widening(),
    "rows": Mixing(),
    "gradients": Detaching(),
    "budget": Generous(),
    "memory": Warm(),
    "copy": Turning(),
}


@pytest.mark.parametrize("name", TRUNCATIONS)
def test_a_broken_truncation_is_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    findings = check_truncation(TRUNCATIONS[name], raises=False)
    assert findings[name]
    assert "\n" not in findings[name]


class Wide(CorrectnessHalting):
    def score(self, segment):
        return super().score(segment).double()


class Undecided(CorrectnessHalting):
    def should_halt(self, score, age):
        return score[:, 0].sigmoid()


class Confused(Wide, Undecided):
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
        return torch.rand(len(age)) < 0.5

    def loss(self, score, outcome):
        return torch.rand(len(score))


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


class Late(FixedHalting):
    def score(self, segment):
        raise ValueError("no\nscore")


HALTING: dict[str, Callable[[], Halting]] = {
    "composes": lambda: ONE,
    "score": Wide,
    "decision": Undecided,
    "rows": Relative,
    "loss": Exploding,
    "gradients": Idle,
    "randomness": Drawing,
    "checkpoint": Hidden,
    "copy": Shallow,
    "segments": Late,
}
ONE = FixedHalting()


@pytest.mark.parametrize("name", HALTING)
def test_a_broken_halting_policy_is_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    findings = check_halting(HALTING[name], raises=False)
    assert findings[name]
    assert "\n" not in findings[name]


def test_findings_are_raised_together_unless_asked_for():
    """Fails if the first finding hides the others, or if an error is no AssertionError."""
    with pytest.raises(AssertionError, match="the halting policy breaks its contract") as caught:
        check_halting(Confused)
    assert isinstance(caught.value, ContractError)
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("  score: score returns (6, 1) torch.float64: make it (6, K) torch.float32")
    assert lines[2].startswith("  decision: should_halt returns (6,) torch.float64: make it (6,) bool")


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

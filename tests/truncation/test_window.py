from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from recurlight.errors import IncompatibleComponents
from recurlight.refiners import SingleRefiner, SingleState, TwoLevelRefiner
from recurlight.truncation import EveryUpdate, GradientWindow, LastCycles, LastPerLevel, LastUpdates
from recurlight.truncation.reach import reached_levels

from .helpers import cell, question, two_level

SCHEDULE = ("latent", "latent", "answer")


def flags(window: GradientWindow, cycles: int = 2) -> str:
    return "".join(".X"[flag] for flag in window.mask(SCHEDULE, cycles))


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (EveryUpdate(), "XXXXXX"),
        (LastUpdates(), "....XX"),
        (LastUpdates(4), "..XXXX"),
        (LastUpdates(6), "XXXXXX"),
        (LastCycles(), "...XXX"),
        (LastCycles(2), "XXXXXX"),
        (LastPerLevel({"latent": 1, "answer": 1}), "....XX"),
        (LastPerLevel({"latent": 1, "answer": 2}), "..X.XX"),
        (LastPerLevel({"latent": 3, "answer": 1}), ".X.XXX"),
        (LastPerLevel({"latent": 2}), "...XX."),
    ],
)
def test_mask(window, expected):
    assert flags(window) == expected


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (LastUpdates(7), r"LastUpdates\(count=\.\.\.\) to at most 6"),
        (LastUpdates(0), r"LastUpdates\(count=\.\.\.\) to at least 1"),
        (LastCycles(3), r"LastCycles\(count=\.\.\.\) to at most 2"),
        (LastCycles(-1), r"LastCycles\(count=\.\.\.\) to at least 1"),
        (LastPerLevel({"latent": 5, "answer": 1}), r"'latent'.* to at most 4"),
        (LastPerLevel({"latent": 1, "answer": 0}), r"'answer'.* to at least 1"),
        (LastPerLevel({"latnet": 1, "answer": 1}), r"'latnet'.*; did you mean 'latent'\?"),
    ],
)
def test_window_that_does_not_fit_is_refused(window, message):
    with pytest.raises(IncompatibleComponents, match=message) as caught:
        window.check(two_level(), cycles=2)
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class FixedMask(GradientWindow):
    pattern: str

    def mask(self, schedule, cycles):
        return tuple(flag == "X" for flag in self.pattern)


@pytest.mark.parametrize(
    ("pattern", "reached"),
    [
        ("XXXXXX", {"latent", "answer"}),
        (".....X", {"answer"}),
        ("...XX.", set()),
        ("..X...", set()),
        # the later latent updates overwrite, without gradient, what the first one wrote
        ("X....X", {"answer"}),
        ("X.X...", set()),
        ("..X..X", {"answer"}),
        # the last answer reads the answer of the first cycle, which reads the latent
        (".XX..X", {"latent", "answer"}),
        ("..XX.X", {"answer"}),
        # an answer update without gradient cuts everything before it
        ("XXXXX.", set()),
        ("....XX", {"latent", "answer"}),
    ],
)
def test_reached_levels(pattern, reached):
    mask = [flag == "X" for flag in pattern]
    assert reached_levels(SCHEDULE * 2, mask) == reached


@pytest.mark.parametrize(
    "pattern", ["XXXXXX", ".....X", "....XX", "..X..X", "..XX.X", ".X.XXX", "X....X", "X.X..X", ".XX..X"]
)
def test_reached_levels_agree_with_autograd(pattern):
    refiner, injection = two_level(), question().requires_grad_()
    with torch.no_grad():
        state = refiner.initial_state(injection)
    answer = FixedMask(pattern).run(refiner, state, injection, cycles=2).answer
    reached = set()
    for level, module in refiner.cells().items():
        weights = list(module.parameters())
        if any(
            g is not None for g in torch.autograd.grad(answer.sum(), weights, None, True, allow_unused=True)
        ):
            reached.add(level)
    assert reached_levels(SCHEDULE * 2, [flag == "X" for flag in pattern]) == reached


def test_level_outside_the_window_is_refused_with_the_smallest_window():
    with pytest.raises(IncompatibleComponents, match=r"'latent'.*no update of it.*LastUpdates.*at least 2"):
        LastUpdates(1).check(two_level(), cycles=2)
    LastUpdates(2).check(two_level(), cycles=2)


def test_level_without_budget_is_refused():
    with pytest.raises(IncompatibleComponents, match=r"'answer' untrained: no update of it"):
        LastPerLevel({"latent": 2}).check(two_level(), cycles=2)


def test_update_whose_result_is_lost_is_refused():
    with pytest.raises(IncompatibleComponents, match=r"'latent'.*lost before it reaches the answer"):
        FixedMask("X....X").check(two_level(), cycles=2)


def test_shared_cell_may_leave_a_level_out():
    LastUpdates(1).check(two_level(shared=True), cycles=2)


def test_partly_shared_cells_are_told_apart():
    body = cell(1)
    refiner = TwoLevelRefiner(nn.Sequential(body, cell(2)), nn.Sequential(body, cell(3)))
    with pytest.raises(IncompatibleComponents, match="'latent'"):
        LastUpdates(1).check(refiner, cycles=1)


def test_cell_with_nothing_to_train_is_exempt():
    frozen = two_level()
    frozen.latent.requires_grad_(False)
    LastUpdates(1).check(frozen, cycles=2)
    LastUpdates(1).check(TwoLevelRefiner(nn.Tanh(), cell(2)), cycles=2)


class AnswerFirst(TwoLevelRefiner):
    """The latent is updated after the answer, so that the last cycle alone cannot train it."""

    def schedule(self):
        return ("answer", "latent")


def test_trailing_update_needs_a_wider_window():
    refiner = AnswerFirst(cell(1), cell(2))
    with pytest.raises(IncompatibleComponents, match=r"'latent'.*lost.*at least 3"):
        LastCycles(1).check(refiner, cycles=2)
    LastUpdates(3).check(refiner, cycles=2)
    with pytest.raises(IncompatibleComponents, match=r"let an update of 'answer' follow 'latent'"):
        EveryUpdate().check(refiner, cycles=1)


class Forgetful(TwoLevelRefiner):
    """Never updates its latent."""

    def schedule(self):
        return ("answer",)


def test_level_that_is_never_updated_is_refused():
    with pytest.raises(IncompatibleComponents, match=r"Forgetful never updates it; add 'latent' to schedule"):
        EveryUpdate().check(Forgetful(cell(1), cell(2)), cycles=3)


def test_mask_of_the_wrong_length_is_refused():
    with pytest.raises(IncompatibleComponents, match="returned 2 flags for 6 updates"):
        FixedMask("XX").check(two_level(), cycles=2)


def test_evaluation_may_use_fewer_cycles_than_the_window():
    refiner, injection = SingleRefiner(cell(1)), question(torch.float32)
    state = SingleState(torch.zeros_like(injection))
    with torch.no_grad():
        answer = LastCycles(3).run(refiner, state, injection, cycles=1).answer
    assert torch.equal(answer, refiner.cell(injection))


def test_policies_are_values():
    assert LastPerLevel({"a": 1, "b": 2}) == LastPerLevel({"b": 2, "a": 1})
    assert hash(LastPerLevel({"a": 1, "b": 2})) == hash(LastPerLevel({"b": 2, "a": 1}))
    assert len({LastUpdates(2), LastUpdates(2), LastUpdates(3)}) == 2

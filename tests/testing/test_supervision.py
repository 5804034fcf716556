"""The checks of supervisions: ours pass, and each broken one fails the check that is named after it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers import opinionated

from recurlight import draw, slots
from recurlight.cells import MixerCell
from recurlight.halting import CorrectnessHalting, FixedHalting
from recurlight.recursion import Recursion
from recurlight.refiners import SingleRefiner, TwoLevelRefiner
from recurlight.supervision import (
    DeepSupervision,
    Denoising,
    ExpectedLoss,
    OneSegment,
    PonderLoss,
    Supervision,
    WinnerTakesAll,
)
from recurlight.testing import check_supervision
from recurlight.testing.tiny import FIELDS
from recurlight.truncation import EveryUpdate
from recurlight.types import Learnt, Sizes

OURS = {
    "one": OneSegment,
    "deep": lambda: DeepSupervision(3, [0.5, 1, 2]),
    "through": lambda: DeepSupervision(2, through=True),
    "expected": lambda: ExpectedLoss(entropy=0.1),
    "ponder": PonderLoss,
    "winner": lambda: WinnerTakesAll(2),
    "denoising": Denoising,
}


@pytest.mark.parametrize("name", OURS)
def test_ours_pass(name):
    """Fails if a check is stricter than the contract."""
    assert set(check_supervision(OURS[name]).values()) == {None}


@pytest.mark.parametrize("name", OURS)
def test_ours_pass_with_numbers(name):
    """Fails if a rule takes labels for tokens, as in a guess at the answer."""

    def compose():
        rule = OURS[name]()
        parts = TwoLevelRefiner(MixerCell(1, multiple=32), latent_steps=1), EveryUpdate()
        made = Recursion(
            FIELDS, *parts, CorrectnessHalting(), cycles=2, max_segments=4, feedback=rule.feedback()
        )
        return opinionated(made, spread=0.5)

    assert set(check_supervision(OURS[name], compose=compose).values()) == {None}


class Single(Supervision):
    """One segment by its parts."""

    def step(self, recursion, carry, fresh, loss, turn):
        after, segment, score = recursion.segment(carry, fresh)
        judged = recursion.judge(after, segment, score, loss)
        after = recursion.halt(after, score.detach(), turn.step, turn.rank, turn.ranks)
        return Learnt(after, self.mean(judged, turn), segment, judged.correct)

    def mean(self, judged, turn):
        return judged.total(turn.halting_weight).mean()


def test_a_right_one_passes_also_with_noise():
    """Fails if what draws by the rule cannot pass."""

    class Noisy(Single):
        def mean(self, judged, turn):
            return (judged.total(turn.halting_weight) * draw.uniform(judged.loss)).mean()

    for kind in (Single, Noisy):
        assert set(check_supervision(kind, exclude={"copy": "it is local"}).values()) == {None}


class Twice(Single):
    """Two chains for each slot."""

    def rows_per_slot(self):
        return 2

    def step(self, recursion, carry, fresh, loss, turn):
        learnt = super().step(recursion, carry, slots.repeat(fresh, 2), loss, turn)
        return learnt._replace(correct=learnt.correct.reshape(-1, 2).any(1))

    def mean(self, judged, turn):
        return judged.total(turn.halting_weight).reshape(-1, 2).amin(1).mean() + 0 * judged.halting.sum()


def test_several_rows_for_a_slot_pass():
    """Fails if the rows of the carry are taken for slots."""

    def compose():
        parts = SingleRefiner(MixerCell(1, multiple=32)), EveryUpdate(), FixedHalting()
        return Recursion(Sizes(6, 16, 32), *parts, cycles=2, max_segments=3)

    assert set(check_supervision(Twice, compose=compose).values()) == {None}


class Refused(Single):
    def check(self, recursion, loss):
        raise ValueError("never")


class Attached(Single):
    def step(self, recursion, carry, fresh, loss, turn):
        after, segment, score = recursion.segment(carry, fresh, through=True)
        judged = recursion.judge(after, segment, score, loss)
        after = recursion.halt(after, score.detach(), turn.step, turn.rank, turn.ranks)
        return Learnt(after, judged.total(turn.halting_weight).mean(), segment, judged.correct)


class Ageless(Single):
    def step(self, recursion, carry, fresh, loss, turn):
        learnt = super().step(recursion, carry, fresh, loss, turn)
        return learnt._replace(carry=learnt.carry._replace(age=carry.age.masked_fill(carry.halted, 0)))


class Greedy(Single):
    def step(self, recursion, carry, fresh, loss, turn):
        return super().step(
            recursion, carry._replace(halted=torch.ones_like(carry.halted)), fresh, loss, turn
        )


class Relative(Single):
    def mean(self, judged, turn):
        total = judged.total(turn.halting_weight)
        return (total * total.detach().softmax(0)).sum()


class Alike(Single):
    def step(self, recursion, carry, fresh, loss, turn):
        return super().step(recursion, carry, fresh, loss, turn._replace(rank=0, ranks=1))


class Summed(Single):
    def mean(self, judged, turn):
        return judged.total(turn.halting_weight).sum()


class Headless(Single):
    def mean(self, judged, turn):
        return judged.loss.mean()


class Private(Single):
    def __init__(self):
        self.draw = torch.Generator().manual_seed(0)

    def mean(self, judged, turn):
        return super().mean(judged, turn) * torch.rand((), generator=self.draw)


class Counting(Single):
    steps = 0

    def mean(self, judged, turn):
        self.steps += 1
        return super().mean(judged, turn)


class Shallow(Single):
    scale = 1.0

    def __getstate__(self):
        return {"scale": 2.0}

    def mean(self, judged, turn):
        return super().mean(judged, turn) * self.scale


BROKEN: dict[str, Callable[[], Supervision]] = {
    "composes": Refused,
    "carry": Attached,
    "slots": Ageless,
    "slots ": Greedy,
    "rows": Relative,
    "ranks": Alike,
    "ranks ": Summed,
    "gradients": Headless,
    "randomness": Private,
    "resume": Counting,
    "copy": Shallow,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_found(name):
    """Fails if the check of that name is left out or looks at nothing."""
    found = check_supervision(BROKEN[name], raises=False)[name.strip()]
    assert found
    assert "\n" not in found

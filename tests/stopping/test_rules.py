"""When each rule stops, on answers that are known, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from helpers import NUMBERS, SIZES, numbers

from recurlight import (
    AsTrained,
    Both,
    ConfidentAnswer,
    ConfidentJudge,
    CorrectnessHalting,
    Either,
    EveryUpdate,
    FixedHalting,
    MixerCell,
    QLearningHalting,
    RecursiveModule,
    Seen,
    SingleRefiner,
    StableAnswer,
    Stopping,
)
from recurlight.errors import IncompatibleComponents
from recurlight.recursion import Recursion

from .counting import CAP, asking, counting

QUESTIONS = asking([1, 1, 1], [2, 0, 4], [8, 8, 8], [3, 3, 0])
SETTLED = [1, 4, 8, 3]  # segments after which an answer changes no more


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_a_stable_answer_has_not_changed_for_so_many_segments(patience):
    """Fails if patience counts answers, is reset too late, or looks at some tokens only."""
    found = counting().solve(QUESTIONS, stopping=StableAnswer(patience))
    assert found.segments.tolist() == [settled + patience for settled in SETTLED]
    assert found.halted.all()
    assert torch.equal(found.logits.argmax(-1), QUESTIONS.inputs)


def test_an_answer_that_does_not_settle_runs_to_the_cap():
    found = counting().solve(QUESTIONS, max_segments=4, stopping=StableAnswer())
    assert found.segments.tolist() == [2, 4, 4, 4]
    assert found.halted.tolist() == [True, False, False, True]


def test_another_sample_in_a_slot_begins_anew():
    """Fails if a slot that is refilled with the same answer stops after its first segment."""
    rule, answer = StableAnswer(), torch.ones(2, 3, dtype=torch.int64)

    def look(ages, memory):
        ages = torch.tensor(ages, dtype=torch.int32)
        return rule.look(Seen(None, answer, ages > 99, ages.float(), ages, answer > 0), memory)

    _, memory = look([1, 1], None)
    stop, memory = look([2, 1], memory)
    assert stop.tolist() == [True, False]
    assert look([1, 2], memory)[0].tolist() == [False, True]


@pytest.mark.parametrize("tolerance", [1e-3, 0.3])
def test_numbers_are_stable_where_they_hardly_change(tolerance):
    before = torch.tensor([[[1.0], [2.0]], [[1.0], [2.0]]])
    after = before + torch.tensor([0.0, 0.1])[:, None, None]
    ages = torch.tensor([1, 1], dtype=torch.int32)
    rule = StableAnswer(tolerance=tolerance)
    memory = None
    for age, answer in enumerate((before, after)):
        seen = Seen(None, answer, ages > 9, ages.float(), ages + age, answer[..., 0] > 0)
        stop, memory = rule.look(seen, memory)
    assert stop.tolist() == [True, tolerance == 0.3]


def test_a_confident_answer_is_likely_at_its_least_likely_filled_token():
    """Fails if padding counts, or the mean or the likeliest token decides."""
    model = counting()
    trail = [found.logits.softmax(-1).amax(-1) for found in model.unroll(QUESTIONS)]
    filled = QUESTIONS.inputs != 0
    for threshold in (0.3, 0.6, 0.9):
        found = model.solve(QUESTIONS, stopping=ConfidentAnswer(threshold))
        for row, (spent, counts) in enumerate(zip(found.segments.tolist(), filled, strict=True)):
            lowest = [float(likely[row][counts].min()) for likely in trail]
            first = next((age for age, low in enumerate(lowest, 1) if low > threshold), CAP)
            assert spent == first
    assert counting().solve(asking([3, 3, 0]), stopping=ConfidentAnswer(0.9)).segments < CAP


@pytest.mark.parametrize(("threshold", "segments"), [(0.0, 1), (0.7, 1), (0.8, CAP)])
def test_a_confident_judge_is_above_its_threshold(threshold, segments):
    model = counting()
    model.halting.head.bias.data.fill_(1.0)  # 73 % sure
    found = model.solve(QUESTIONS, stopping=ConfidentJudge(threshold))
    assert found.segments.tolist() == [segments] * 4
    assert found.halted.tolist() == [segments == 1] * 4


@pytest.mark.parametrize(("bias", "segments"), [(0.1, 1), (-0.1, CAP)])
def test_as_trained_is_what_the_policy_says(bias, segments):
    model = counting()
    model.halting.head.bias.data.fill_(bias)
    assert model.solve(QUESTIONS, stopping=AsTrained()).segments.tolist() == [segments] * 4


def test_two_rules_may_both_have_to_agree_or_one_is_enough():
    """Fails if a rule is given the memory of the other, or both the same."""
    model = counting()
    quick, slow = StableAnswer(1), StableAnswer(3)
    for first, second in ((quick, slow), (slow, quick)):
        both, either = (kind(first, second) for kind in (Both, Either))
        assert model.solve(QUESTIONS, stopping=both).segments.tolist() == [n + 3 for n in SETTLED]
        assert model.solve(QUESTIONS, stopping=either).segments.tolist() == [n + 1 for n in SETTLED]
    sure = Both(Either(AsTrained(), quick), ConfidentAnswer(0.0))
    assert model.solve(QUESTIONS, stopping=sure).segments.tolist() == [n + 1 for n in SETTLED]


MANY = asking(
    *([n % 4, n, (n * 5) % 9] for n in range(9)),
    *([8 - n, n, 1] for n in range(9)),
    tasks=[(n * 7) % 9 for n in range(18)],
)
RULES = {
    "stable": StableAnswer(),
    "patient": StableAnswer(2),
    "likely": ConfidentAnswer(0.9),
    "judge": ConfidentJudge(0.6),
    "both": Both(StableAnswer(), ConfidentJudge(0.6)),
    "either": Either(ConfidentAnswer(0.9), StableAnswer(2)),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rows_stop_where_they_would_have_if_none_had_left(rule):
    """Fails if what a rule remembers is not compacted with the rows, or stays with those that left."""
    model = counting()
    model.halting.head.weight.data[0, 0], model.halting.head.bias.data[0] = 1.0, -3.0
    trail = list(model.unroll(MANY, stopping=rule))
    said = torch.stack([found.halted for found in trail])  # (S, B)
    first = torch.where(said.any(0), said.int().argmax(0), CAP - 1)
    found = model.solve(MANY, stopping=rule)
    assert len(found.segments.unique()) >= 2  # rows do part ways
    assert found.segments.tolist() == (first + 1).tolist()
    assert found.halted.tolist() == said.any(0).tolist()
    assert torch.equal(found.logits, torch.stack([part.logits for part in trail])[first, torch.arange(18)])


def test_by_default_a_judge_is_sure_of_an_answer_that_has_settled():
    """Fails if `solve` believes a first score above one half, as slots do in training."""
    model = counting()
    model.halting.head.bias.data.fill_(2.0)  # 88 % sure
    assert model.solve(QUESTIONS).segments.tolist() == [CAP] * 4
    model.halting.head.bias.data.fill_(2.5)  # 92 % sure
    assert model.solve(QUESTIONS).segments.tolist() == [n + 1 for n in SETTLED]
    fixed = counting(FixedHalting(), max_segments=5)
    assert fixed.solve(QUESTIONS).segments.tolist() == [5] * 4


class OnlyOnce(Stopping):
    """One of one's own: stops after so many segments."""

    def __init__(self, segments: int = 2) -> None:
        self.segments = segments

    def look(self, seen, memory):
        return seen.age >= self.segments, memory


def test_a_rule_of_ones_own_needs_one_method():
    assert counting().solve(QUESTIONS, stopping=OnlyOnce()).segments.tolist() == [2] * 4
    assert counting(stopping=OnlyOnce(5)).solve(QUESTIONS).segments.tolist() == [5] * 4
    joined = Both(OnlyOnce(3), StableAnswer())
    assert counting(stopping=joined).solve(QUESTIONS).segments.tolist() == [3, 5, 9, 4]


def test_the_rule_of_a_call_is_above_that_of_the_composition():
    model = counting(stopping=StableAnswer(3))
    assert model.solve(QUESTIONS).segments.tolist() == [n + 3 for n in SETTLED]
    assert model.solve(QUESTIONS, stopping=StableAnswer()).segments.tolist() == [n + 1 for n in SETTLED]


def test_without_adaptation_the_rule_only_tells():
    trail = list(counting(stopping=StableAnswer()).unroll(QUESTIONS))
    for age, found in enumerate(trail, start=1):
        assert found.segments.tolist() == [age] * 4
        assert found.halted.tolist() == [age > settled for settled in SETTLED]
    model = counting()  # which has no rule, so that the policy's own word is told, as published
    model.halting.head.bias.data.fill_(0.1)
    assert next(model.unroll(QUESTIONS)).halted.all()


def refused(halting, rule, sizes=SIZES):
    parts = SingleRefiner(MixerCell(1, multiple=16)), EveryUpdate(), halting
    with pytest.raises(IncompatibleComponents) as caught:
        Recursion(sizes, *parts, cycles=2, stopping=rule)
    model = Recursion(sizes, *parts, cycles=2)
    asked = numbers(2) if sizes is NUMBERS else asking([1] * 16, [2] * 16)
    with pytest.raises(IncompatibleComponents) as again:
        model.solve(asked, stopping=rule)
    assert str(again.value) == str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("rule", [ConfidentJudge(), Both(StableAnswer(), ConfidentJudge(0.5))])
def test_a_policy_that_does_not_judge_has_no_confidence_to_stop_by(rule):
    message = refused(FixedHalting(), rule)
    assert message.startswith("FixedHalting does not judge its answers, so ConfidentJudge would never stop: ")
    assert message.endswith("set model.eval_halting to StableAnswer")


def test_numbers_have_no_probability():
    message = refused(FixedHalting(), Either(StableAnswer(), ConfidentAnswer()), NUMBERS)
    assert message.endswith("the answers are numbers: set model.eval_halting to StableAnswer")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StableAnswer(patience=0), "StableAnswer got patience=0: give 1 or more"),
        (lambda: StableAnswer(patience=1.5), "StableAnswer got patience=1.5: give a whole number"),
        (lambda: StableAnswer(tolerance=0.0), "StableAnswer got tolerance=0.0: give more than 0"),
        (lambda: ConfidentAnswer(1.1), "ConfidentAnswer got threshold=1.1: give 0 or more and at most 1"),
        (lambda: ConfidentAnswer(-0.1), "ConfidentAnswer got threshold=-0.1: give 0 or more"),
        (lambda: ConfidentJudge(1.5), "ConfidentJudge got threshold=1.5: give 0 or more and at most 1"),
        (lambda: ConfidentJudge("0.9"), "ConfidentJudge got threshold='0.9': give a finite number"),
        (lambda: Both(StableAnswer(), 0.9), "Both got second=0.9: give"),
        (lambda: CorrectnessHalting(threshold=1.0), "CorrectnessHalting got threshold=1.0: give less than 1"),
        (lambda: CorrectnessHalting(threshold=0.0), "CorrectnessHalting got threshold=0.0: give more than 0"),
        (lambda: QLearningHalting(margin=float("nan")), "QLearningHalting got margin=nan"),
    ],
)
def test_what_is_out_of_range_is_refused(make, message):
    with pytest.raises(IncompatibleComponents) as caught:
        make()
    assert str(caught.value).startswith(message)


def test_a_model_s_rule_is_recorded_in_its_checkpoint(tmp_path):
    """Fails if a nested rule is lost, or a loaded driver stops by another."""
    from helpers import loader, module, trainer

    from recurlight import load_recursion

    rule = Both(StableAnswer(2), Either(ConfidentJudge(0.75), AsTrained()))
    made, fit = module(eval_halting=rule), trainer(max_steps=1, limit_val_batches=0)
    fit.fit(made.float(), loader([asking([1] * 16, [2] * 16)]))
    fit.save_checkpoint(tmp_path / "x.ckpt")
    assert RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt").recursion.stopping == rule
    recursion, evaluation = load_recursion(tmp_path / "x.ckpt")
    assert recursion.stopping == rule
    assert evaluation["adaptive"]

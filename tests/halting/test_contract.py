"""What every exported halting policy must do."""

from __future__ import annotations

import inspect

import pytest
import torch
from helpers import SIZES, batch, bound, seeded, segment_of, trm

from recurlight import halting
from recurlight.halting import ConvergenceHalting, CorrectnessHalting, FixedHalting, Halting, QLearningHalting
from recurlight.types import Outcome

POLICIES = {
    ConvergenceHalting: (ConvergenceHalting, 1),
    CorrectnessHalting: (CorrectnessHalting, 1),
    FixedHalting: (FixedHalting, 0),
    QLearningHalting: (QLearningHalting, 2),
}
ROWS = 5
AGES = torch.arange(1, ROWS + 1, dtype=torch.int32)


@pytest.fixture(params=POLICIES.values(), ids=[kind.__name__ for kind in POLICIES])
def case(request):
    build, scores = request.param
    policy = bound(build())
    for weight in policy.parameters():  # away from the start, where every row scores the same
        weight.data = torch.randn(weight.shape, generator=seeded(4))
    return policy, scores


def answers(dtype=torch.float32, seed=1):
    return torch.randn(ROWS, SIZES.positions, SIZES.width, generator=seeded(seed)).to(dtype)


def a_segment(dtype=torch.float32, gradient=False):
    return segment_of(answers(dtype).requires_grad_(gradient), answers(dtype, seed=2))


def outcome(scores, rows=ROWS):
    correct, last = torch.arange(rows) % 2 == 0, torch.arange(rows) % 3 == 0
    next_score = torch.randn(rows, scores, generator=seeded(6)) if scores == 2 else None
    return Outcome(correct, last, next_score)


def test_every_exported_policy_is_tested():
    exported = (getattr(halting, name) for name in halting.__all__)
    concrete = {kind for kind in exported if issubclass(kind, Halting) and not inspect.isabstract(kind)}
    assert concrete == set(POLICIES)


def test_scores_are_float32_whatever_the_activations(case):
    policy, scores = case
    for dtype in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            score = policy.score(a_segment(dtype))
        assert (score.shape, score.dtype) == ((ROWS, scores), torch.float32)
    wide = policy.double().score(a_segment(torch.float64))
    assert (wide.shape, wide.dtype) == ((ROWS, scores), torch.float64)


def test_autocast_costs_the_scores_nothing(case):
    policy, _ = case
    segment = a_segment()
    plain = policy.score(segment)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(policy.score(segment), plain)


def test_the_decision_is_bool_and_has_no_gradient(case):
    policy, _ = case
    halts = policy.should_halt(policy.score(a_segment(gradient=True)), AGES)
    assert (halts.shape, halts.dtype, halts.requires_grad) == ((ROWS,), torch.bool, False)


def test_rows_are_independent(case):
    policy, scores = case
    segment, result = a_segment(), outcome(scores)
    score = policy.score(segment)
    part = policy.score(type(segment)(*(leaf[1:3] for leaf in segment)))
    torch.testing.assert_close(score[1:3], part)
    next_part = None if result.next_score is None else result.next_score[1:3]
    part_loss = policy.loss(part, Outcome(result.correct[1:3], result.last[1:3], next_part))
    torch.testing.assert_close(policy.loss(score, result)[1:3], part_loss)
    assert torch.equal(policy.should_halt(score, AGES)[1:3], policy.should_halt(part, AGES[1:3]))


def test_losses_are_finite_and_per_row(case):
    policy, scores = case
    for scale in (1.0, 1e4):
        segment = a_segment()
        score = policy.score(segment._replace(answer=segment.answer * scale))
        loss = policy.loss(score, outcome(scores))
        assert (loss.shape, loss.dtype) == ((ROWS,), torch.float32)
        assert loss.isfinite().all()
        assert (loss >= 0).all()


def test_an_answer_that_does_not_move_has_finite_scores(case):
    policy, _ = case
    for answer in (answers(), torch.zeros_like(answers())):
        assert policy.score(segment_of(answer)).isfinite().all()


def test_parameters_get_gradient_in_every_step_or_there_are_none(case):
    policy = type(case[0])()
    recursion = trm(policy)
    carry = recursion.start(batch())
    for step in range(3):
        carry, _, score = recursion.segment(carry, batch(seed=step))
        loss = policy.loss(score, recursion.outcome(carry, torch.tensor([True, False] * 2))).sum()
        assert loss.requires_grad == bool(list(policy.parameters()))
        if loss.requires_grad:
            recursion.zero_grad()
            loss.backward()
        for weight in policy.parameters():
            assert weight.grad.isfinite().all()
            assert weight.grad.abs().sum() > 0
        carry = recursion.halt(carry, score.detach(), step)

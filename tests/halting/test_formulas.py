"""Each policy's rule, written out."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import SIZES, bound, seeded, segment_of

from recurlight.errors import IncompatibleComponents
from recurlight.halting import ConvergenceHalting, CorrectnessHalting, FixedHalting, QLearningHalting
from recurlight.halting.q_learning import continue_target
from recurlight.types import Outcome

AGES = torch.ones(4, dtype=torch.int32)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def bce(logit, target):
    return -target * math.log(sigmoid(logit)) - (1 - target) * math.log(1 - sigmoid(logit))


def test_heads_start_at_minus_five_and_read_position_zero():
    for policy, scores in ((CorrectnessHalting(), 1), (QLearningHalting(), 2)):
        bound(policy)
        answer = torch.randn(3, SIZES.positions, SIZES.width, generator=seeded())
        assert torch.equal(policy.score(segment_of(answer)), torch.full((3, scores), -5.0))
        policy.head.weight.data = torch.randn(scores, SIZES.width, generator=seeded(1))
        expected = torch.einsum("bd,kd->bk", answer[:, 0], policy.head.weight) - 5
        torch.testing.assert_close(policy.score(segment_of(answer)), expected)


def test_correctness_stops_where_right_is_likelier():
    scores = torch.tensor([[-0.1], [0.1], [5.0], [-5.0]])
    policy = CorrectnessHalting()
    assert policy.should_halt(scores, AGES).tolist() == [False, True, True, False]
    correct = torch.tensor([True, False, True, False])
    loss = policy.loss(scores, Outcome(correct, ~correct, None))
    wanted = [bce(-0.1, 1), bce(0.1, 0), bce(5.0, 1), bce(-5.0, 0)]
    assert loss.tolist() == pytest.approx(wanted, rel=1e-5)


NEXT = [[0.3, -1.0], [0.3, 1.2], [0.3, 1.2], [-2.0, -3.0]]
LAST = [False, False, True, True]
TARGETS = [sigmoid(0.3), sigmoid(1.2), sigmoid(0.3), sigmoid(-2.0)]


def test_q_learning_target():
    target = continue_target(torch.tensor(NEXT), torch.tensor(LAST))
    assert target.tolist() == pytest.approx(TARGETS, rel=1e-5)


def test_q_learning_loss_and_rule():
    scores = [[0.5, -0.5], [-1.0, 2.0], [0.0, 0.0], [3.0, 2.9]]
    correct = [True, False, True, False]
    policy = QLearningHalting()
    outcome = Outcome(torch.tensor(correct), torch.tensor(LAST), torch.tensor(NEXT))
    loss = policy.loss(torch.tensor(scores), outcome)
    rows = zip(scores, correct, TARGETS, strict=True)
    wanted = [bce(halt, float(right)) + bce(go, target) for (halt, go), right, target in rows]
    assert loss.tolist() == pytest.approx(wanted, rel=1e-5)
    assert policy.should_halt(torch.tensor(scores), AGES).tolist() == [True, False, False, True]


def test_fixed_never_stops():
    policy = FixedHalting()
    assert not policy.should_halt(torch.zeros(4, 0), AGES * 1000).any()
    assert list(policy.parameters()) == []


def test_convergence_measures_the_relative_change_of_each_row():
    before = torch.randn(4, SIZES.positions, SIZES.width, generator=seeded())
    direction = torch.randn(before.shape, generator=seeded(1))
    size = torch.tensor([1e-1, 1.1e-2, 0.9e-2, 1e-4]).reshape(-1, 1, 1)
    norms = before.flatten(1).norm(dim=1) / direction.flatten(1).norm(dim=1)
    after = before + size * norms.reshape(-1, 1, 1) * direction
    policy = ConvergenceHalting(tolerance=1e-2)
    score = policy.score(segment_of(after.requires_grad_(), before))
    wanted = (after - before).flatten(1).norm(dim=1) / after.flatten(1).norm(dim=1)
    torch.testing.assert_close(10 ** -score[:, 0], wanted.detach(), rtol=1e-4, atol=0)
    assert policy.should_halt(score, AGES).tolist() == [False, False, True, True]
    assert not score.requires_grad


def test_convergence_depends_on_its_tolerance():
    score = torch.tensor([[1.0], [3.0]])
    assert ConvergenceHalting(0.5).should_halt(score, AGES[:2]).tolist() == [True, True]
    assert ConvergenceHalting(1e-2).should_halt(score, AGES[:2]).tolist() == [False, True]


@pytest.mark.parametrize("tolerance", [0.0, -1.0])
def test_convergence_needs_a_positive_tolerance(tolerance):
    with pytest.raises(
        IncompatibleComponents, match=r"needs a tolerance above 0, not .*: set model\.halting"
    ):
        ConvergenceHalting(tolerance)


def test_confidence_is_the_probability_of_being_right_where_a_policy_judges_it():
    scores = torch.tensor([[-1.0, 3.0], [2.0, 3.0]])
    expected = pytest.approx([sigmoid(-1.0), sigmoid(2.0)])
    assert CorrectnessHalting().confidence(scores[:, :1]).tolist() == expected
    assert QLearningHalting().confidence(scores).tolist() == expected
    assert ConvergenceHalting().confidence(scores[:, :1]).tolist() == [0, 0]
    assert FixedHalting().confidence(scores[:, :0]).tolist() == [0, 0]

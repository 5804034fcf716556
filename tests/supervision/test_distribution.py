"""Segments weighted by a halting distribution: against products written out, and torch's distributions."""

from __future__ import annotations

import pytest
import torch
from helpers import batch, module, seeded
from torch.distributions import Categorical, kl_divergence

from recurlight import AsTrained
from recurlight.errors import IncompatibleComponents
from recurlight.halting import ConvergenceHalting, CorrectnessHalting, FixedHalting, QLearningHalting
from recurlight.supervision import ExpectedLoss, HaltingDistribution, OneSegment, PonderLoss, log_halting
from recurlight.truncation import EveryUpdate, LastCycles

from .cases import CAP, LOSS, busy, composed, step

ROWS = 8


def close(left, right):
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


def probabilities(stopping):
    """The product, written out."""
    stop, found = stopping.sigmoid(), []
    for n in range(stop.shape[1]):
        going = torch.ones_like(stop[:, 0])
        for j in range(n):
            going = going * (1 - stop[:, j])
        found.append(going * (stop[:, n] if n < stop.shape[1] - 1 else 1.0))
    return torch.stack(found, dim=1)


@pytest.mark.parametrize("segments", [1, 2, 5])
def test_the_distribution_is_the_product_and_the_last_segment_takes_the_rest(segments):
    stopping = torch.randn(6, segments, generator=seeded(), dtype=torch.float64).requires_grad_()
    found, expected = log_halting(stopping).exp(), probabilities(stopping)
    close(found, expected)
    close(found.sum(1), torch.ones(6, dtype=torch.float64))
    weights = torch.randn(6, segments, generator=seeded(1), dtype=torch.float64)
    if segments > 1:
        ours, theirs = (torch.autograd.grad((p * weights).sum(), stopping)[0] for p in (found, expected))
        close(ours, theirs)


@pytest.mark.parametrize("rule", [ExpectedLoss(entropy=0.3), PonderLoss()], ids=repr)
@pytest.mark.parametrize("size", [30.0, 300.0])
def test_a_policy_that_is_sure_of_itself_has_finite_losses_and_gradients(rule, size):
    """Fails if the logarithm of a probability that underflows is taken."""
    stopping = torch.tensor([[size, -size, size], [-size, size, 0.0]], requires_grad=True)
    log_p = log_halting(stopping)
    total = (log_p.exp().sum(1) + rule.penalty(log_p)).sum()
    total.backward()
    assert total.isfinite()
    assert stopping.grad.isfinite().all()


def test_penalties_are_entropy_and_divergence():
    stopping = torch.randn(6, 4, generator=seeded(), dtype=torch.float64)
    log_p, p = log_halting(stopping), Categorical(probabilities(stopping))
    close(ExpectedLoss(entropy=0.3).penalty(log_p), -0.3 * p.entropy())
    prior = Categorical(torch.tensor([0.3, 0.3 * 0.7, 0.3 * 0.7**2, 0.7**3], dtype=torch.float64))
    close(PonderLoss(prior=0.3, weight=0.1).penalty(log_p), 0.1 * kl_divergence(p, prior))


def expected(recursion, carry, fresh, rule, weight):
    """The loss by its formula, over segments of the driver."""
    tokens, halting, stopping = [], [], []
    carry = carry._replace(halted=torch.ones_like(carry.halted))
    for _ in range(CAP):
        carry, segment, score = recursion.segment(carry, fresh, through=rule.through)
        labels, logit = fresh.labels, score[:, 0]
        tokens.append(-segment.logits.log_softmax(-1).gather(-1, labels[..., None]).mean(dim=(1, 2)))
        right = (segment.logits.argmax(-1) == labels).all(1)
        halting.append(torch.where(right, -logit.sigmoid().log(), -(1 - logit.sigmoid()).log()))
        stopping.append(logit)
    p = probabilities(torch.stack(stopping, dim=1))
    penalty = rule.penalty(p.log())
    return ((p * torch.stack(tokens, 1)).sum(1) + weight * torch.stack(halting, 1).mean(1) + penalty).mean()


RULES = [ExpectedLoss(entropy=0.2), ExpectedLoss(through=False), PonderLoss(0.3, 0.1)]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_loss_is_the_formula_on_fresh_samples(rule):
    """Fails if a slot that another supervision left amid its work goes on with it."""
    recursion = composed(EveryUpdate())
    carry, fresh = busy(OneSegment(), recursion, ROWS), batch(ROWS, seed=9)
    assert not carry.halted.all()
    learnt, gradients = step(rule, recursion, carry, fresh)
    loss = expected(recursion, carry, fresh, rule, weight=0.5)
    close(learnt.loss, loss.detach())
    close(gradients, list(torch.autograd.grad(loss, list(recursion.parameters()))))
    assert learnt.carry.halted.all()
    assert learnt.carry.age.tolist() == [CAP] * ROWS
    assert torch.equal(learnt.carry.batch.inputs, fresh.inputs)


def test_gradient_passes_through_segments_only_if_it_shall():
    """Fails if the carry is cut in between; as the last one counts alone, all are one long segment."""
    recursion = composed(EveryUpdate())
    with torch.no_grad():
        recursion.halting.head.weight.zero_()
        recursion.halting.head.bias.fill_(-50.0)
    long, fresh = composed(EveryUpdate(), FixedHalting(), cycles=2 * CAP), batch(ROWS)
    step(OneSegment(), long, long.start(fresh), fresh)
    whole = {name: weight.grad for name, weight in long.named_parameters()}
    for through in (True, False):
        step(ExpectedLoss(through=through), recursion, recursion.start(fresh), fresh)
        found = {name: weight.grad for name, weight in recursion.named_parameters() if name in whole}
        assert found.keys() == whole.keys()
        assert all(torch.allclose(found[name], whole[name], rtol=1e-9) for name in whole) == through


@pytest.mark.parametrize("kind", [ExpectedLoss, PonderLoss])
@pytest.mark.parametrize("policy", [FixedHalting, QLearningHalting, ConvergenceHalting])
def test_policies_without_a_probability_of_stopping_are_refused_by_name(kind, policy):
    with pytest.raises(IncompatibleComponents, match=f"{policy.__name__} has no probability of stopping"):
        module(policy(), truncation=EveryUpdate(), supervision=kind())


class Detached(CorrectnessHalting):
    def stopping(self, score):
        return score[:, 0].detach()


class Wide(CorrectnessHalting):
    def stopping(self, score):
        return score


@pytest.mark.parametrize(
    ("policy", "message"), [(Detached, r"\(2,\) without gradient"), (Wide, r"\(2, 1\) with")]
)
def test_a_policy_of_ones_own_must_give_a_logit_of_each_slot_with_gradient(policy, message):
    with pytest.raises(IncompatibleComponents, match=f"{policy.__name__}.stopping returns {message}"):
        module(policy(), truncation=EveryUpdate(), supervision=ExpectedLoss())


@pytest.mark.parametrize("kind", [ExpectedLoss, PonderLoss])
def test_compositions_that_leave_it_nothing_to_do_are_refused(kind):
    with pytest.raises(
        IncompatibleComponents, match=f"{kind.__name__} has nothing to weigh .*max_segments to 2"
    ):
        module(truncation=EveryUpdate(), max_segments=1, supervision=kind())
    with pytest.raises(IncompatibleComponents, match=f"{kind.__name__} sends gradient .*through to false"):
        module(truncation=LastCycles(1), supervision=kind())
    module(truncation=LastCycles(1), supervision=kind(through=False))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (ExpectedLoss, {"entropy": -0.1}, "entropy=-0.1: give 0 or more"),
        (PonderLoss, {"prior": 0.0}, "prior=0.0: give more than 0"),
        (PonderLoss, {"prior": 1.0}, "prior=1.0"),
        (PonderLoss, {"weight": -1.0}, "weight=-1.0: give 0 or more"),
    ],
)
def test_numbers_out_of_range_are_refused(kind, settings, message):
    assert issubclass(kind, HaltingDistribution)
    with pytest.raises(IncompatibleComponents, match=message):
        kind(**settings)


def test_adaptive_evaluation_stops_where_stopping_is_likelier_than_going_on():
    recursion = composed(EveryUpdate())
    recursion.require(lambda made: ExpectedLoss().check(made, None))
    _, _, score = recursion.segment(recursion.start(batch(ROWS)), batch(ROWS))
    likelier = recursion.halting.stopping(score).sigmoid() > 0.5
    assert torch.equal(recursion.halting.should_halt(score, torch.ones(ROWS)), likelier)
    assert torch.equal(recursion.solve(batch(ROWS), CAP, stopping=AsTrained()).segments == 1, likelier)


class Certain(CorrectnessHalting):
    """Scores the certainty of the read-out alone."""

    def score(self, segment):
        return segment.logits.softmax(-1).amax(-1).mean(1, keepdim=True) + 0 * super().score(segment)


def test_a_policy_may_score_the_logits():
    """Fails if the policy is tried on logits without gradient, unlike in training."""
    recursion = composed(halting=Certain())
    ExpectedLoss(through=False).check(recursion, LOSS)

"""The driver in training: refilling, ages, exploration, look-ahead."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from helpers import SIZES, batch, mixer, opinionated, seeded, trm

from recurlight.halting import CorrectnessHalting, FixedHalting, QLearningHalting
from recurlight.recursion import Recursion, minimum_age
from recurlight.refiners import TwoLevelRefiner
from recurlight.truncation import LastUpdates
from recurlight.types import Carry

HALTED = torch.tensor([True, False, False, True])


def carried(recursion, steps=2):
    """A carry in the middle of its work."""
    carry = recursion.start(batch())
    for step in range(steps):
        carry, _, _ = recursion.segment(carry, batch(seed=step))
    return carry


def test_the_first_segment_fills_every_slot():
    recursion = trm()
    carry = recursion.start(batch(seed=1))
    assert carry.halted.all()
    carry, _, _ = recursion.segment(carry, batch(seed=2))
    assert torch.equal(carry.batch.inputs, batch(seed=2).inputs)
    assert carry.age.tolist() == [1] * 4
    assert not carry.halted.any()


def test_a_segment_refills_the_halted_slots_and_no_other():
    recursion = trm()
    busy = carried(recursion)
    fresh = batch(seed=7)
    after, segment, score = recursion.segment(busy._replace(halted=HALTED), fresh)
    assert after.age.tolist() == [1, 3, 3, 1]
    for old, new, kept in zip(busy.batch, fresh, after.batch, strict=True):
        assert torch.equal(kept, torch.where(HALTED.reshape(-1, *[1] * (old.ndim - 1)), new, old))
    started, first, first_score = recursion.segment(recursion.start(fresh), fresh)
    going, further, further_score = recursion.segment(busy, fresh)
    for rows, carry, alone, points in (
        (HALTED, started, first, first_score),
        (~HALTED, going, further, further_score),
    ):
        torch.testing.assert_close(segment.logits[rows], alone.logits[rows])
        torch.testing.assert_close(score[rows], points[rows])
        for a, b in zip(after.state, carry.state, strict=True):
            torch.testing.assert_close(a[rows], b[rows])


def test_fresh_samples_offered_to_busy_slots_have_no_influence():
    recursion = trm()
    carry = carried(recursion)._replace(halted=HALTED)
    one, other = batch(seed=7), batch(seed=8)
    mixed = type(one)(*(torch.cat([a[:1], b[1:3], a[3:]]) for a, b in zip(one, other, strict=True)))
    first, second = (recursion.segment(carry, fresh) for fresh in (one, mixed))
    assert torch.equal(first[1].logits, second[1].logits)
    assert all(torch.equal(a, b) for a, b in zip(first[0].state, second[0].state, strict=True))
    assert torch.equal(first[0].batch.labels, second[0].batch.labels)


def test_the_segment_reports_where_it_began():
    recursion = trm()
    carry = carried(recursion)
    _, segment, _ = recursion.segment(carry._replace(halted=HALTED), batch())
    assert torch.equal(segment.before[~HALTED], carry.state.answer[~HALTED])
    assert torch.equal(segment.before[HALTED], recursion.start(batch()).state.answer[HALTED])
    assert not segment.before.requires_grad
    assert segment.answer.requires_grad


def test_the_carry_has_no_gradient_and_no_history():
    recursion = trm()
    carry = carried(recursion)
    leaves = [*carry.state, *carry.batch, carry.age, carry.halted]
    assert not any(leaf.requires_grad or leaf.grad_fn for leaf in leaves)
    _, segment, _ = recursion.segment(carry, batch())
    recursion.zero_grad()
    segment.logits.sum().backward()  # a second backward over an older graph would raise
    _, segment, _ = recursion.segment(recursion.segment(carry, batch())[0], batch())
    segment.logits.sum().backward()


def test_gradient_reaches_what_the_truncation_allows_and_the_caller_may_forbid_it():
    recursion = trm()
    _, segment, score = recursion.segment(carried(recursion), batch())
    (segment.logits.sum() + score.sum()).backward()
    assert all(weight.grad is not None for weight in recursion.parameters())
    with torch.no_grad():
        _, segment, score = recursion.segment(carried(recursion), batch())
    assert not segment.logits.requires_grad
    assert not score.requires_grad


def test_cycles_can_be_changed_for_one_segment():
    recursion = trm()
    calls = []
    recursion.refiner.latent.register_forward_hook(lambda *_: calls.append(1))
    carry = recursion.start(batch())
    for cycles, updates in ((None, 2 * 3), (1, 3), (5, 15)):
        calls.clear()
        recursion.segment(carry, batch(), cycles)
        assert len(calls) == updates


def aged(ages, rows=None) -> Carry:
    age = (
        torch.tensor(ages, dtype=torch.int32)
        if rows is None
        else torch.full((rows,), ages, dtype=torch.int32)
    )
    empty = batch(1)
    return Carry(None, empty, age, torch.zeros_like(age, dtype=torch.bool))


def test_a_slot_halts_when_its_policy_says_so_or_at_the_cap():
    recursion = trm(max_segments=4)
    score = torch.tensor([[1.0], [-1.0], [1.0], [-1.0], [-1.0]])
    carry = recursion.halt(aged([1, 1, 3, 3, 4]), score, step=0)
    assert carry.halted.tolist() == [True, False, True, False, True]
    assert carry.age.tolist() == [1, 1, 3, 3, 4]


def test_one_segment_each_is_one_sample_a_step():
    recursion = trm(max_segments=1, exploration=1.0)
    carry = recursion.start(batch())
    for step in range(3):
        carry, _, score = recursion.segment(carry, batch(seed=step))
        assert carry.age.tolist() == [1] * 4
        assert torch.equal(carry.batch.inputs, batch(seed=step).inputs)
        outcome = recursion.outcome(carry, torch.zeros(4, dtype=torch.bool))
        assert outcome.last.all()
        carry = recursion.halt(carry, score.detach(), step)
        assert carry.halted.all()


ROWS = 4000


def test_exploration_draws_its_probability_and_a_uniform_minimum_age():
    ages = minimum_age(10 * ROWS, 16, 0.1, seeded(), torch.device("cpu"))
    explored = ages[ages > 0]
    assert abs(len(explored) / len(ages) - 0.1) < 0.01
    counts = torch.bincount(explored, minlength=17)[2:].float()
    assert len(counts) == 15
    assert ages.max() == 16
    assert ((counts / counts.mean() - 1).abs() < 0.3).all()
    expected = len(explored) / 15
    assert ((counts - expected) ** 2 / expected).sum() < 36.1  # chi-squared, 14 degrees, one in a thousand


@pytest.mark.parametrize("age", [1, 2, 3, 5])
def test_an_exploring_slot_does_not_halt_before_its_minimum_age(age):
    recursion = trm(max_segments=6, exploration=0.5)
    carry = recursion.halt(aged(age, ROWS), torch.ones(ROWS, 1), step=3)
    below = (6 - max(age, 1)) / 5  # share of the ages 2..6 that lie above
    assert abs(carry.halted.float().mean().item() - (1 - 0.5 * below)) < 0.03


def test_the_cap_wins_over_exploration():
    recursion = trm(max_segments=6, exploration=1.0)
    assert recursion.halt(aged(6, ROWS), torch.ones(ROWS, 1), step=0).halted.all()
    assert recursion.halt(aged(6, ROWS), -torch.ones(ROWS, 1), step=0).halted.all()


def test_without_exploration_every_wish_is_granted():
    recursion = trm(max_segments=6, exploration=0.0)
    assert recursion.halt(aged(1, ROWS), torch.ones(ROWS, 1), step=0).halted.all()


def wishes(recursion, step, rows, **place):
    return recursion.halt(aged(3, rows), torch.ones(rows, 1), step, **place).halted


def test_exploration_is_a_function_of_seed_step_and_slot():
    first = wishes(trm(exploration=0.5, seed=1), 5, ROWS)
    torch.rand(3)
    assert torch.equal(first, wishes(trm(exploration=0.5, seed=1), 5, ROWS))
    assert not torch.equal(first, wishes(trm(exploration=0.5, seed=1), 6, ROWS))
    assert not torch.equal(first, wishes(trm(exploration=0.5, seed=2), 5, ROWS))
    assert not torch.equal(first[: ROWS // 2], first[ROWS // 2 :])


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_draw_what_one_process_draws(ranks):
    recursion = trm(exploration=0.5)
    share = ROWS // ranks
    parts = [wishes(recursion, 5, share, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert torch.equal(torch.cat(parts), wishes(recursion, 5, ROWS))


def test_look_ahead_is_the_next_segments_score():
    recursion = opinionated(trm(QLearningHalting()))
    carry, _, _ = recursion.segment(carried(recursion), batch())
    outcome = recursion.outcome(carry, torch.zeros(4, dtype=torch.bool))
    _, _, score = recursion.segment(carry, batch(seed=9))
    assert torch.equal(outcome.next_score, score)
    assert not outcome.next_score.requires_grad
    assert torch.is_grad_enabled()
    assert len(outcome.next_score.unique()) == 8


def test_policies_without_look_ahead_do_not_pay_for_it():
    for policy in (CorrectnessHalting(), FixedHalting()):
        recursion = trm(policy)
        carry = carried(recursion)
        recursion.refiner.latent.register_forward_hook(lambda *_: pytest.fail("a forward pass"))
        outcome = recursion.outcome(carry, torch.zeros(4, dtype=torch.bool))
        assert outcome.next_score is None


def test_the_outcome_knows_the_cap():
    recursion, right = trm(max_segments=3), torch.ones(4) > 0
    assert recursion.outcome(aged([1, 2, 3, 4]), right).last.tolist() == [
        False,
        False,
        True,
        True,
    ]


def test_global_random_state_is_never_touched():
    def states():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    before = states()
    refiner = TwoLevelRefiner(mixer(), mixer(), latent_steps=1)
    recursion = Recursion(SIZES, refiner, LastUpdates(2), QLearningHalting(), cycles=2, exploration=0.5)
    carry, segment, score = recursion.segment(recursion.start(batch()), batch())
    recursion.outcome(carry, torch.zeros(4, dtype=torch.bool))
    segment.logits.sum().backward()
    recursion.halt(carry, score.detach(), 1)
    recursion.solve(batch(), 2)
    assert states() == before

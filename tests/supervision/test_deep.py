"""Several segments in one step: against single steps, and against a loop over one slot after another."""

from __future__ import annotations

import pytest
import torch
from helpers import batch, loader, module, trainer

from recurlight import slots
from recurlight.errors import IncompatibleComponents
from recurlight.halting import ConvergenceHalting, CorrectnessHalting, FixedHalting
from recurlight.supervision import DeepSupervision, OneSegment, Turn
from recurlight.truncation import EveryUpdate, ImplicitGradient, LastCycles, LastUpdates, PhantomGradient

from .cases import CAP, LOSS, busy, composed, step

ROWS = 8
WEIGHTS = [0.5, 1.0, 0.0, 3.0]


def close(left, right):
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


def steadfast(**settings):
    """A composition whose slots go on to the cap."""
    recursion = composed(max_segments=20, **settings)
    recursion.halting.head.bias.data.fill_(-9.0)
    return recursion


@pytest.mark.parametrize("segments", [1, 3])
def test_segments_equal_as_many_single_steps_of_the_same_weights_added_up(segments):
    """Fails if a segment draws, weighs or starts otherwise than a step of `OneSegment`."""
    recursion = steadfast()
    before, single = (busy(OneSegment(), recursion, ROWS) for _ in range(2))
    learnt, found = step(DeepSupervision(segments), recursion, before, batch(ROWS, seed=9), Turn(2))
    losses, sums = [], [torch.zeros_like(weight) for weight in recursion.parameters()]
    for number in range(segments):
        one, gradients = step(
            OneSegment(), recursion, single, batch(ROWS, seed=9), Turn(2 * segments + number)
        )
        losses.append(one.loss)
        sums, single = [a + b for a, b in zip(sums, gradients, strict=True)], one.carry
    close(learnt.loss, sum(losses))
    close(found, sums)
    assert torch.equal(learnt.segment.logits, one.segment.logits)
    for ours, theirs in zip(
        (*learnt.carry.state, *learnt.carry[2:4]), (*single.state, *single[2:4]), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_one_segment_is_one_segment_bit_for_bit():
    recursion = composed(exploration=0.5)
    before, fresh = busy(OneSegment(), recursion, ROWS), batch(ROWS, seed=9)
    one, gradients = step(OneSegment(), recursion, before, fresh, Turn(7))
    deep, found = step(DeepSupervision(1), recursion, before, fresh, Turn(7))
    assert torch.equal(deep.loss, one.loss)
    assert all(torch.equal(a, b) for a, b in zip(found, gradients, strict=True))
    assert torch.equal(deep.carry.halted, one.carry.halted)


def alone(recursion, carry, fresh, weights, weight=0.5):
    """Work on one slot by the formula: its loss, its age, whether it has finished and was right."""
    total, age = 0.0, 0 if carry.halted else int(carry.age)
    for number, share in enumerate(weights):
        carry, segment, score = recursion.segment(carry, fresh if number == 0 else carry.batch)
        logits, labels, logit = segment.logits[0], carry.batch.labels[0], score[0, 0]
        tokens = -logits.log_softmax(-1)[torch.arange(len(labels)), labels].mean()
        right = bool((logits.argmax(-1) == labels).all())
        halting = -logit.sigmoid().log() if right else -(1 - logit.sigmoid()).log()
        total, age = total + share * (tokens + weight * halting), age + 1
        if logit > 0 or age == CAP:
            return total, age, True, right
    return total, age, False, right


def test_slots_that_halt_amid_the_step_wait():
    """Fails if a slot that waits is refilled, ages, counts in the loss, or is judged by what it does then."""
    recursion = composed()
    carry, fresh = busy(OneSegment(), recursion, ROWS), batch(ROWS, seed=9)
    said = recursion.segment(carry, fresh)[1].logits.argmax(-1)  # right at first, and not for ever
    carry, fresh = carry._replace(batch=carry.batch._replace(labels=said)), fresh._replace(labels=said)
    learnt, gradients = step(DeepSupervision(4, WEIGHTS), recursion, carry, fresh)
    rows = [slots.take(torch.tensor([row]), (carry, fresh)) for row in range(ROWS)]
    found = [alone(recursion, *row, WEIGHTS) for row in rows]
    loss = sum(total for total, *_ in found) / ROWS
    close(learnt.loss, loss.detach())
    close(gradients, list(torch.autograd.grad(loss, list(recursion.parameters()))))
    assert learnt.carry.age.tolist() == [age for _, age, _, _ in found]
    assert learnt.carry.halted.tolist() == [halted for *_, halted, _ in found]
    assert learnt.correct.tolist() == [right for *_, right in found]
    assert len(set(learnt.carry.age.tolist())) > 2
    waiting = learnt.carry.halted & (learnt.carry.age < CAP)
    assert waiting.any()
    assert (waiting & learnt.correct).any()
    assert not learnt.correct.all()


def test_segments_explore_as_single_steps_do():
    """Fails if all segments of a step draw the same minimum age."""
    recursion, rows = composed(max_segments=9, exploration=1.0), 32
    recursion.halting.head.weight.data.zero_()
    recursion.halting.head.bias.data.fill_(9.0)  # every slot wants to halt at once
    carry = recursion.start(batch(rows))
    found = step(DeepSupervision(6), recursion, carry, batch(rows), Turn(4))[0].carry
    age, working = torch.zeros_like(carry.age), torch.ones_like(carry.halted)
    for number in range(6):
        age = age + working.int()
        wants = recursion.halt(carry._replace(age=age), torch.ones(rows, 1), 4 * 6 + number).halted
        working = working & ~wants
    assert torch.equal(found.age, age)
    assert torch.equal(found.halted, ~working)
    assert len(set(age.tolist())) > 3


def test_gradient_goes_through_the_segments_of_a_step_as_through_one_long_segment():
    """Fails if the carry is cut in between, or if it is not cut at the end."""
    long, parts = (composed(EveryUpdate(), FixedHalting(), cycles=cycles) for cycles in (6, 2))
    fresh = batch(ROWS)
    whole, expected = step(OneSegment(), long, long.start(fresh), fresh)
    rule = DeepSupervision(3, weights=[0, 0, 1], through=True)
    learnt, gradients = step(rule, parts, parts.start(fresh), fresh)
    close(learnt.loss, whole.loss)
    close(gradients, expected)
    assert not any(field.requires_grad for field in learnt.carry.state)
    cut = step(DeepSupervision(3, weights=[0, 0, 1]), parts, parts.start(fresh), fresh)[1]
    assert not all(torch.allclose(a, b) for a, b in zip(cut, expected, strict=True))


def test_the_figures_of_training_count_every_sample_once():
    """Fails if a slot that waits counts twice, or the segments of a sample are not its age."""
    made = module(exploration=0.0, supervision=DeepSupervision(3))
    taken, finished, spent, right = 0, 0, 0, 0
    update = made.progress.update

    def counted(loss, before, after, correct):
        nonlocal taken, finished, spent, right
        taken += int(before.halted.sum())
        finished += int(after.halted.sum())
        spent += int(after.age[after.halted].sum())
        right += int(correct[after.halted].sum())
        update(loss, before, after, correct)

    made.progress.update = counted
    made.progress.segments.decay = 1.0
    trainer(max_steps=5).fit(made, loader([batch(ROWS, seed=number) for number in range(5)]))
    assert made.progress.samples == taken
    assert 0 <= taken - finished <= ROWS
    assert made.progress.figures()["segments"].item() == pytest.approx(spent / finished)
    assert 1 < spent / finished <= CAP


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"segments": 0}, "segments=0: give 1 or more"),
        ({"segments": 2, "weights": [1.0]}, r"weights=\[1.0\] for 2 segments: give one for each"),
        ({"segments": 2, "weights": [1.0, -1.0]}, "0 or more"),
        ({"segments": 2, "weights": [0.0, 0.0]}, "not all 0"),
        ({"segments": 2.5}, "a whole number"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, message):
    with pytest.raises(IncompatibleComponents, match=message):
        DeepSupervision(**settings)


@pytest.mark.parametrize("policy", [LastCycles(1), LastUpdates(3), ImplicitGradient(), PhantomGradient(2)])
def test_gradient_through_segments_needs_a_truncation_that_lets_it_through(policy):
    with pytest.raises(
        IncompatibleComponents, match=r"DeepSupervision .* EveryUpdate, or .*through to false"
    ):
        module(truncation=policy, cycles=4, supervision=DeepSupervision(2, through=True))
    module(truncation=policy, cycles=4, supervision=DeepSupervision(2))


def test_segments_that_no_sample_gets_are_refused_also_later():
    rule = DeepSupervision(3)
    with pytest.raises(
        IncompatibleComponents, match=r"DeepSupervision runs 3 segments .* which is 2: raise it"
    ):
        module(max_segments=2, supervision=rule)
    made = module(max_segments=4, supervision=rule)
    with pytest.raises(IncompatibleComponents, match="DeepSupervision runs 3 segments"):
        made.recursion.reconfigure(max_segments=2, cycles=5)
    assert (made.recursion.max_segments, made.recursion.cycles) == (4, 2)
    made.recursion.reconfigure(max_segments=3)
    through = module(truncation=EveryUpdate(), supervision=DeepSupervision(2, through=True))
    with pytest.raises(IncompatibleComponents, match="lets none through"):
        through.recursion.reconfigure(truncation=LastCycles(1))
    assert through.recursion.truncation == EveryUpdate()


@pytest.mark.parametrize("policy", [FixedHalting, ConvergenceHalting, CorrectnessHalting])
def test_it_takes_any_halting_policy(policy):
    recursion = composed(halting=policy())
    learnt, _ = step(DeepSupervision(CAP), recursion, recursion.start(batch(ROWS)), batch(ROWS))
    assert learnt.carry.halted.all()
    assert LOSS(learnt.segment.logits, batch(ROWS).labels).isfinite().all()

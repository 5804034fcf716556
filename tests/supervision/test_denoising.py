"""The guess that segments are told: on a straight line to the answer in training, drawn on in evaluation."""

from __future__ import annotations

import pytest
import torch
from helpers import NUMBERS, SIZES, batch, mixer, numbers
from torch.nn import functional

from recurlight import slots
from recurlight.codec import ContinuousDecoder
from recurlight.errors import IncompatibleComponents
from recurlight.halting import FixedHalting, QLearningHalting
from recurlight.losses import MeanSquaredError
from recurlight.recursion import Recursion
from recurlight.refiners import QuestionStartRefiner
from recurlight.supervision import Denoising, Turn
from recurlight.truncation import EveryUpdate
from recurlight.types import IGNORE

from .cases import CAP, LOSS, busy, composed

ROWS = 6
RULE = Denoising(noise=0.5)


def made(**settings):
    return composed(halting=FixedHalting(), feedback=RULE.feedback(), **settings)


def test_in_training_the_guess_moves_on_a_straight_line_to_the_answer():
    """Fails if the noise is drawn anew at each segment, or if the line ends early or late."""
    recursion, fresh = made(), batch(ROWS)
    carry = RULE.start(recursion, fresh)
    guesses = []
    for number in range(CAP):
        carry = RULE.step(recursion, carry, fresh, LOSS, Turn(number)).carry
        guesses.append(carry.guess)
    right = functional.one_hot(fresh.labels, 6).double()
    noise = (guesses[0] - right / CAP) / (1 - 1 / CAP)
    for number, guess in enumerate(guesses, start=1):
        share = number / CAP
        torch.testing.assert_close(guess, (1 - share) * noise + share * right, rtol=0, atol=1e-12)
    assert noise.std().item() == pytest.approx(0.5, rel=0.15)


def test_where_nothing_is_supervised_the_guess_stays_noise():
    recursion, fresh = made(), batch(ROWS)
    labels = fresh.labels.clone()
    labels[:, ::2] = IGNORE
    fresh = fresh._replace(labels=labels)
    carry = RULE.step(recursion, RULE.start(recursion, fresh), fresh, LOSS, Turn(0)).carry
    later = RULE.step(recursion, carry, fresh, LOSS, Turn(1)).carry
    assert torch.equal(carry.guess[:, ::2], later.guess[:, ::2])
    assert not torch.equal(carry.guess[:, 1::2], later.guess[:, 1::2])


def test_evaluation_does_not_look_at_the_answer():
    """Fails if labels leak into what evaluation tells the segments."""
    recursion, asked = made(), batch(ROWS)
    blank = asked._replace(labels=torch.full_like(asked.labels, IGNORE))
    found = []
    for question in (asked, blank):
        torch.manual_seed(0)
        found.append(recursion.solve(question, adaptive=False).logits)
    assert torch.equal(*found)


def test_in_evaluation_the_guess_ends_at_what_the_last_segment_says():
    recursion, asked = made(), batch(ROWS)
    carry = recursion.start(asked)
    with torch.no_grad():
        for number in range(1, CAP + 1):
            before = carry
            carry, segment, _ = recursion.segment(carry, carry.batch)
            carry = carry._replace(guess=recursion.feedback.towards(segment.logits, carry, CAP))
            if number > 1:
                step = (segment.logits.softmax(-1) - before.guess) / (CAP - number + 1)
                torch.testing.assert_close(carry.guess, before.guess + step, rtol=0, atol=1e-12)
    torch.testing.assert_close(carry.guess, segment.logits.softmax(-1), rtol=0, atol=1e-12)


class Spread(ContinuousDecoder):
    """Reads out a mean and a spread."""

    def outputs(self, sizes):
        return 2 * sizes.targets

    def forward(self, answer):
        return super().forward(answer).repeat(1, 1, 2)


def test_the_guess_at_numbers_is_the_numbers_themselves():
    """Fails if numbers are taken for classes, or the guess follows a label that is NaN."""
    recursion, fresh = made(sizes=NUMBERS), numbers(ROWS)
    carry, guesses = RULE.start(recursion, fresh), []
    for number in range(CAP):
        carry = RULE.step(recursion, carry, fresh, MeanSquaredError(), Turn(number)).carry
        guesses.append(carry.guess)
    torch.testing.assert_close(guesses[-1][:, :-4], fresh.labels[:, :-4].double(), rtol=0, atol=1e-12)
    assert all(torch.equal(guess[:, -4:], guesses[0][:, -4:]) for guess in guesses)
    assert guesses[0][:, -4:].std().item() == pytest.approx(0.5, rel=0.4)
    with torch.no_grad():
        asked = recursion.start(fresh)
        for _ in range(CAP):
            asked, segment, _ = recursion.segment(asked, asked.batch)
            asked = asked._replace(guess=recursion.feedback.towards(segment.logits, asked, CAP))
    torch.testing.assert_close(asked.guess, segment.logits, rtol=0, atol=1e-12)


def test_a_read_out_that_is_no_answer_is_refused_as_a_guess():
    with pytest.raises(IncompatibleComponents, match=r"Spread reads out 2 .* an answer has 1.*Denoising"):
        made(sizes=NUMBERS, decoder=Spread())


def test_rows_that_stay_keep_their_guess():
    """Fails if compaction mixes guesses up."""
    recursion = composed(feedback=RULE.feedback())
    carry = busy(RULE, recursion, ROWS)
    rows = torch.tensor([4, 1])
    assert torch.equal(slots.take(rows, carry).guess, carry.guess[rows])


def test_a_guess_changes_the_answer():
    """Fails if the feedback is made and not heard."""
    recursion, fresh = made(), batch(ROWS)
    carry = recursion.refill(recursion.start(fresh), fresh)
    one = recursion.segment(carry, fresh)[1].logits
    other = recursion.segment(carry._replace(guess=carry.guess + 1), fresh)[1].logits
    assert not torch.allclose(one, other)


def test_look_ahead_and_a_composition_without_feedback_are_refused():
    with pytest.raises(
        IncompatibleComponents, match=r"QLearningHalting looks one segment ahead, .*model\.halting"
    ):
        RULE.check(composed(halting=QLearningHalting(), feedback=RULE.feedback()), LOSS)
    with pytest.raises(IncompatibleComponents, match=r"feedback=supervision\.feedback\(\)"):
        RULE.check(composed(), LOSS)


def test_a_refiner_that_would_not_hear_the_guess_is_refused():
    refiner = QuestionStartRefiner(mixer(), latent_steps=1)
    parts = {"feedback": RULE.feedback(), "cycles": 2, "max_segments": CAP}
    recursion = Recursion(SIZES, refiner, EveryUpdate(), FixedHalting(), **parts)
    with pytest.raises(IncompatibleComponents, match="no update of QuestionStartRefiner reads: set model"):
        RULE.check(recursion, LOSS)

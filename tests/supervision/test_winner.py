"""Several chains a slot: who wins, what is learnt, and what goes on."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, batch, mixer

from recurlight import slots
from recurlight.errors import IncompatibleComponents
from recurlight.halting import CorrectnessHalting
from recurlight.losses import SoftmaxCrossEntropy
from recurlight.recursion import Recursion
from recurlight.refiners import SingleRefiner
from recurlight.supervision import OneSegment, Turn, WinnerTakesAll
from recurlight.truncation import EveryUpdate

from .cases import LOSS, busy, composed, step

ROWS, WIDTH = 6, 3
RULE = WinnerTakesAll(WIDTH)


def test_the_loss_is_the_best_chains_and_so_is_the_gradient():
    """Fails if the loss is a mean over chains, or of the chain with the best sum of both losses."""
    recursion = composed()
    carry, fresh = busy(RULE, recursion, ROWS), batch(ROWS, seed=9)
    carry = carry._replace(halted=torch.zeros_like(carry.halted))  # nothing is drawn then
    learnt, gradients = step(RULE, recursion, carry, fresh)
    recursion.zero_grad()
    total = 0.0
    for slot in range(ROWS):
        chains = []
        for chain in range(WIDTH):
            row = slots.take(torch.tensor([slot * WIDTH + chain]), carry)
            after, segment, score = recursion.segment(row, row.batch)
            judged = recursion.judge(after, segment, score, LOSS)
            chains.append((judged.loss.item(), (judged.loss + 0.5 * judged.halting).sum()))
        total = total + min(chains, key=lambda pair: pair[0])[1] / ROWS
    total.backward()
    torch.testing.assert_close(learnt.loss, total, rtol=0, atol=1e-12)
    for weight, found in zip(recursion.parameters(), gradients, strict=True):
        torch.testing.assert_close(weight.grad, found, rtol=0, atol=1e-12)


def test_chains_share_the_winners_answer_and_keep_their_latents():
    recursion = composed()
    carry = busy(RULE, recursion, ROWS)
    answer, latent = (leaf.view(ROWS, WIDTH, -1) for leaf in (carry.state.answer, carry.state.latent))
    assert torch.equal(answer, answer[:, :1].expand_as(answer))
    assert (latent[:, 1:] != latent[:, :1]).any(2).all()
    for field in (carry.age, carry.halted, carry.batch.task):
        assert torch.equal(field, field[::WIDTH].repeat_interleave(WIDTH))


def test_an_only_level_is_kept_by_every_chain():
    parts = SingleRefiner(mixer()), EveryUpdate(), CorrectnessHalting()
    recursion = Recursion(SIZES, *parts, cycles=2, max_segments=4, exploration=0.0).double()
    answer = busy(RULE, recursion, ROWS).state.answer.view(ROWS, WIDTH, -1)
    assert (answer[:, 1:] != answer[:, :1]).any(2).all()


def test_the_first_chain_begins_without_noise():
    """Fails if evaluation, which runs one chain, begins where no chain was trained to."""
    recursion, fresh = composed(), batch(ROWS)
    seen = []
    run = recursion.truncation.run
    recursion.truncation.__class__.run = lambda self, refiner, state, *rest: (
        seen.append(state.latent) or run(refiner, state, *rest)
    )
    try:
        RULE.step(recursion, RULE.start(recursion, fresh), fresh, LOSS, Turn(0))
        OneSegment().step(recursion, recursion.start(fresh), fresh, LOSS, Turn(0))
    finally:
        del recursion.truncation.__class__.run
    assert torch.equal(seen[0][::WIDTH], seen[1])
    assert (seen[0][1::WIDTH] - seen[1]).std().item() == pytest.approx(1.0, rel=0.1)


def test_progress_counts_slots_and_not_chains():
    recursion, fresh = composed(), batch(ROWS)
    learnt = RULE.step(recursion, RULE.start(recursion, fresh), fresh, SoftmaxCrossEntropy(), Turn(0))
    assert learnt.correct.shape == (ROWS,)
    assert learnt.segment.logits.shape[0] == ROWS
    assert len(learnt.carry.age) == ROWS * WIDTH


@pytest.mark.parametrize("settings", [{"width": 1}, {"width": 2, "spread": 0.0}])
def test_what_leaves_one_chain_is_refused(settings):
    with pytest.raises(IncompatibleComponents, match="WinnerTakesAll got "):
        WinnerTakesAll(**settings)

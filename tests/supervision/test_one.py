"""One segment a step: what each slot weighs."""

from __future__ import annotations

import pytest
import torch
from helpers import batch

from recurlight.errors import IncompatibleComponents
from recurlight.supervision import OneSegment, Turn

from .cases import LOSS, busy, composed, step

ROWS = 8


def test_a_slot_weighs_by_its_age():
    """Fails if the first segment is not whole, or all slots weigh alike; the mean stays over all slots."""
    recursion = composed(exploration=0.5)
    before, fresh = busy(OneSegment(), recursion, ROWS), batch(ROWS, seed=9)
    assert len(set(before.age.tolist())) > 1
    learnt, gradients = step(OneSegment(decay=0.7), recursion, before, fresh, Turn(7))
    carry, segment, score = recursion.segment(before, fresh)
    each = recursion.judge(carry, segment, score, LOSS).total(0.5)
    weights = torch.tensor([0.7 ** (age - 1) for age in carry.age.tolist()], dtype=each.dtype)
    expected = (each * weights).mean()
    torch.testing.assert_close(learnt.loss, expected, rtol=1e-6, atol=0)
    found = torch.autograd.grad(expected, [*recursion.parameters()])
    for ours, theirs in zip(gradients, found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-9)
    plain, _ = step(OneSegment(), recursion, before, fresh, Turn(7))
    assert torch.equal(plain.carry.age, learnt.carry.age)
    assert torch.equal(plain.carry.halted, learnt.carry.halted)


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(IncompatibleComponents, match=f"OneSegment got decay={decay}: give more than 0 and"):
        OneSegment(decay)

"""Noise of questions."""

import math

import pytest
import torch
from helpers import batch, numbers, trm

from recurlight.data.counter import mix
from recurlight.search.noise import _mix, disturbed, keys_of, normals

KEYS = torch.arange(400)


def test_it_scrambles_as_the_data_do():
    """Fails if 64-bit arithmetic with signs goes another way than that without."""
    values = torch.tensor([0, 1, -1, 1 << 62, -(1 << 63)])
    assert _mix(values).numpy().view("uint64").tolist() == mix(values.numpy().view("uint64")).tolist()


def test_it_is_standard_normal():
    drawn = normals(KEYS, torch.zeros(400, 1000)).flatten()
    assert drawn.isfinite().all()
    assert drawn.mean().abs() < 5 / math.sqrt(len(drawn))
    assert drawn.std() == pytest.approx(1, abs=0.01)
    inside = [(drawn.abs() < sigma).float().mean().item() for sigma in (1, 2, 3)]
    assert inside == pytest.approx([math.erf(sigma / math.sqrt(2)) for sigma in (1, 2, 3)], abs=0.002)


def test_neither_rows_nor_numbers_go_together():
    drawn = normals(KEYS, torch.zeros(400, 400))
    for pairs in (drawn, drawn.T):
        together = torch.corrcoef(pairs) - torch.eye(400)
        assert together.abs().max() < 6 / math.sqrt(400)


@pytest.mark.parametrize("asked", [batch(rows=5), numbers(rows=5)], ids=["tokens", "numbers"])
def test_a_question_draws_the_same_in_every_batch(asked):
    keys = keys_of(asked, 3, 1)
    assert len(keys.unique()) == 5
    part = type(asked)(*(field[[3, 1]] for field in asked))
    assert torch.equal(keys_of(part, 3, 1), keys[[3, 1]])
    assert not (keys_of(asked, 3, 2) == keys).any()
    assert not (keys_of(asked, 1, 3) == keys).any()
    assert not (keys_of(asked._replace(task=asked.task + 1), 3, 1) == keys).any()
    assert torch.equal(keys_of(asked._replace(labels=asked.labels[:, :0]), 3, 1), keys)


def test_every_level_and_segment_gets_noise_of_its_own():
    recursion, asked = trm(), batch(rows=3)
    carry = recursion.refill(recursion.start(asked), asked)
    noisy = disturbed(carry, 0.5, (0, 1))
    moves = [after - before for after, before in zip(noisy.state, carry.state, strict=True)]
    assert not torch.equal(*moves)
    assert torch.stack(moves).std() == pytest.approx(0.5, rel=0.1)
    older = disturbed(carry._replace(age=carry.age + 1), 0.5, (0, 1))
    assert not torch.equal(older.state.answer, noisy.state.answer)
    assert torch.equal(disturbed(carry, 0.5, (0, 1)).state.answer, noisy.state.answer)

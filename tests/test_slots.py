"""Trees of batch-first tensors."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from helpers import seeded
from torch import Tensor

from recurlight import slots


class Tree(NamedTuple):
    flat: Tensor
    deep: Tensor


def tree(rows=4, seed=0):
    return Tree(torch.arange(rows), torch.randn(rows, 2, 3, generator=seeded(seed)))


MASK = torch.tensor([True, False, True, False])


def test_choose_takes_whole_rows():
    new, old = tree(seed=1), tree(seed=2)
    chosen = slots.choose(MASK, new, old)
    assert isinstance(chosen, Tree)
    for row, flag in enumerate(MASK.tolist()):
        assert torch.equal(chosen.deep[row], (new if flag else old).deep[row])


def test_choose_keeps_the_dtype_of_the_new():
    assert slots.choose(MASK, torch.zeros(4).bfloat16(), torch.ones(4)).dtype == torch.bfloat16


def test_detach_cuts_every_leaf():
    weight = torch.ones(2, requires_grad=True)
    assert not any(leaf.requires_grad for leaf in slots.detach(Tree(weight * 2, weight)))


def test_take_and_scatter_undo_each_other():
    whole = tree()
    kept = slots.take(torch.tensor([0, 2]), whole)
    assert kept.flat.tolist() == [0, 2]
    into = Tree(*(torch.zeros_like(leaf) for leaf in whole))
    back = slots.scatter(torch.tensor([0, 2]), kept, into)
    assert torch.equal(back.deep[MASK], whole.deep[MASK])
    assert not back.deep[~MASK].any()
    assert not into.deep.any()  # untouched
    assert torch.equal(slots.take(torch.tensor([2, 0]), whole).deep, whole.deep[[2, 0]])


@pytest.mark.parametrize("rows", range(1, 70))
def test_bucket_is_the_next_power_of_two_from_two_on(rows):
    """Fails if a single row is left alone, for which a compiled cell makes a graph of its own."""
    size = slots.bucket(rows)
    assert size >= max(rows, 2) > size // 2
    assert size & (size - 1) == 0


def test_padding_repeats_a_row():
    assert slots.pad(torch.tensor([5, 2, 9]), 5).tolist() == [5, 2, 9, 5, 5]
    assert slots.pad(torch.tensor([5, 2]), 2).tolist() == [5, 2]

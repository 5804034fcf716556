"""A slot's computation depends on nothing but its own sample: not on its neighbours, its place or its batch.

In float64; each test names a change of the library that makes it fail.
"""

from __future__ import annotations

import pytest
import torch
from helpers import attention, batch, equilibrium, loader, mixer, module, opinionated, single, trainer, trm

from recurlight import slots
from recurlight.halting import CorrectnessHalting, QLearningHalting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import TwoLevelRefiner
from recurlight.types import IGNORE, Batch

ROWS = 8

COMPOSITIONS = {
    "two levels": lambda: opinionated(trm(CorrectnessHalting())),
    "two levels, look-ahead": lambda: opinionated(trm(QLearningHalting())),
    "one level": single,
    "equilibrium": equilibrium,
}


@pytest.fixture(params=COMPOSITIONS)
def recursion(request) -> Recursion:
    return COMPOSITIONS[request.param]().double()


def trained(recursion: Recursion, batches: list[Batch]) -> list[tuple]:
    """What a training run of these batches computes in each slot, the weights aside."""
    carry, found = recursion.start(batches[0]), []
    for step, fresh in enumerate(batches):
        carry, segment, score = recursion.segment(carry, fresh)
        carry = recursion.halt(carry, score.detach(), step)
        found.append((segment.logits.detach(), score.detach(), carry))
    return found


def assert_close(one, other) -> None:
    for left, right in zip(leaves(one), leaves(other), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


def leaves(tree) -> list[torch.Tensor]:
    return torch.utils._pytree.tree_leaves(tree)


BATCHES = [batch(ROWS, seed=step) for step in range(3)]


def test_permuted_rows_give_permuted_results(recursion):
    """Fails if anything is taken over the rows: a norm, a stop of the solver, a decision to halt."""
    order = torch.tensor([3, 0, 7, 1, 6, 2, 5, 4])
    found = trained(recursion, BATCHES)
    assert_close(trained(recursion, [slots.take(order, part) for part in BATCHES]), slots.take(order, found))
    assert (found[0][0][0] - found[0][0][1]).abs().max() > 1e-3


def test_a_row_is_what_it_is_alone(recursion):
    """Fails if a batch of one is treated apart, or if rows are averaged."""
    found = trained(recursion, BATCHES)
    for row in (0, 5):
        alone = torch.tensor([row])
        assert_close(
            trained(recursion, [slots.take(alone, part) for part in BATCHES]), slots.take(alone, found)
        )


def test_a_fresh_sample_leaves_the_other_rows_alone(recursion):
    """Fails if a slot's refilling, resetting or age reaches its neighbours."""
    carry, _, _ = recursion.segment(recursion.start(BATCHES[0]), BATCHES[0])
    halted = carry._replace(halted=torch.arange(ROWS) == 2)
    going, other = recursion.segment(carry, BATCHES[1]), recursion.segment(halted, BATCHES[1])
    rest = torch.tensor([0, 1, 3, 4, 5, 6, 7])
    assert_close(slots.take(rest, going), slots.take(rest, other))
    assert (going[1].logits[2] - other[1].logits[2]).abs().max() > 1e-3


@pytest.mark.parametrize("cell", [mixer, attention])
def test_parts_of_a_batch_add_up_whatever_is_supervised(cell):
    """Fails if the loss is a mean over the tokens of a batch, whose parts weigh by what is supervised."""
    count = torch.arange(ROWS)[:, None] * 2 + 1
    batches = [
        part._replace(labels=part.labels.where(torch.arange(16) < count, IGNORE)) for part in BATCHES[:2]
    ]
    halves = [slots.take(rows, part) for part in batches for rows in torch.arange(ROWS).split(ROWS // 2)]
    found = []
    for parts, accumulate in ((batches, 1), (halves, 2), (batches[:1], 1)):
        made = module(exploration=0.0, refiner=TwoLevelRefiner(cell(), latent_steps=2))
        trainer(max_steps=2, accumulate_grad_batches=accumulate).fit(made, loader(parts))
        found.append([weight.detach() for weight in made.parameters()])
    assert_close(found[0], found[1])
    assert max((a - b).abs().max() for a, b in zip(found[0], found[2], strict=True)) > 1e-3

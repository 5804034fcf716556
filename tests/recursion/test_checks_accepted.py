"""What a composition accepts trains every weight; making it has no side effects."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, attention, batch, mixer
from odd_refiners import Noisy, Started, Unheard, compose, hrm
from torch import nn

from recurlight.codec.tokens import TokenEncoder
from recurlight.errors import IncompatibleComponents
from recurlight.halting import CorrectnessHalting, QLearningHalting
from recurlight.refiners import SingleRefiner, TwoLevelRefiner
from recurlight.truncation import EveryUpdate, ImplicitGradient, LastCycles, LastUpdates

WIDTH = SIZES.width


@pytest.mark.parametrize("part", ["refiner", "halting", "encoder"])
def test_parts_cannot_move_to_other_sizes(part):
    parts = {"refiner": SingleRefiner(mixer()), "halting": CorrectnessHalting(), "encoder": TokenEncoder()}
    kept = {part: parts[part]}
    compose(**kept)
    compose(**kept)  # the same sizes are fine
    with pytest.raises(IncompatibleComponents, match=r"was already built for Sizes\(.*: make a new"):
        compose(**kept, sizes=SIZES._replace(width=32))


def step(recursion):
    """Run the first training step's forward and backward."""
    _, segment, score = recursion.segment(recursion.start(batch()), batch())
    (segment.logits.square().mean() + score.square().sum()).backward()
    return recursion


ACCEPTED = {
    "one of each": lambda: compose(cycles=1, max_segments=1),
    "exploration 0": lambda: compose(exploration=0),
    "exploration 1": lambda: compose(exploration=1),
    "look-ahead over two segments": lambda: compose(halting=QLearningHalting(), max_segments=2),
    "window as long as the segment": lambda: compose(hrm(), LastUpdates(6), cycles=2),
    "the remedy for a starved cell": lambda: compose(hrm(), LastUpdates(2), cycles=2),
    "two updates of a shared cell": lambda: compose(TwoLevelRefiner(mixer()), LastUpdates(2), cycles=2),
    "answer first, in two cycles": lambda: compose(Unheard(mixer(), mixer()), EveryUpdate(), cycles=2),
    "noise under a window": lambda: compose(Noisy(mixer()), LastCycles(1)),
    "two cycles to solve": lambda: compose(truncation=ImplicitGradient(), cycles=2),
    "a plain module as cell": lambda: compose(
        SingleRefiner(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()))
    ),
    "a cell without weights": lambda: compose(TwoLevelRefiner(nn.Tanh(), attention()), LastUpdates(2)),
    "the question in the start alone": lambda: compose(Started(mixer())),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_accepted_gives_every_weight_gradient(name):
    for weight_name, weight in step(ACCEPTED[name]()).named_parameters():
        assert weight.grad is not None, weight_name
        assert weight.grad.isfinite().all(), weight_name
        assert weight.grad.any(), weight_name


def frozen_encoder():
    encoder = TokenEncoder()
    compose(encoder=encoder)  # makes its weights
    return encoder.requires_grad_(False)


def test_a_starved_cell_may_be_frozen():
    refiner = hrm()
    compose(refiner, cycles=2)
    refiner.latent.requires_grad_(False)
    again = step(compose(refiner, LastUpdates(1), encoder=frozen_encoder(), cycles=2))
    assert all(weight.grad is None for weight in again.refiner.latent.parameters())
    assert all(weight.grad.any() for weight in again.refiner.answer.parameters())


def test_a_frozen_encoder_needs_no_gradient():
    again = step(compose(TwoLevelRefiner(mixer()), LastUpdates(1), encoder=frozen_encoder()))
    assert all(weight.grad.any() for weight in again.refiner.parameters())


def test_checking_leaves_no_trace():
    """The dry run of a composition records no gradient and does not change a module's mode or weights."""
    cell = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.5), nn.Tanh())
    weight = cell[0].weight.clone()
    compose(SingleRefiner(cell))
    assert torch.equal(cell[0].weight, weight)
    assert cell.training
    assert cell[0].weight.grad is None
    implicit = ImplicitGradient()
    compose(truncation=implicit)
    assert implicit.diagnostics() == {}


def test_weights_depend_on_the_seed_alone():
    def weights(seed):
        return torch.cat([weight.flatten() for weight in compose(hrm(), seed=seed, cycles=2).parameters()])

    first = weights(3)
    torch.rand(5)  # whatever global random state holds
    assert torch.equal(first, weights(3))
    assert not torch.equal(first, weights(4))

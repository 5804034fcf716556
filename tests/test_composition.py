"""A composition trains or is refused at once, by one line that names the setting to change."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from helpers import SIZES, attention, batch, mixer
from torch import Tensor, nn

from recurlight.cells import TransformerCell
from recurlight.codec import TokenEncoder
from recurlight.errors import IncompatibleComponents
from recurlight.halting import CorrectnessHalting, FixedHalting, QLearningHalting
from recurlight.recursion import Recursion
from recurlight.refiners import SingleRefiner, SingleState, TwoLevelRefiner
from recurlight.truncation import (
    EveryUpdate,
    ImplicitGradient,
    LastCycles,
    LastPerLevel,
    LastUpdates,
    PhantomGradient,
)

WIDTH = SIZES.width


def hrm():
    return TwoLevelRefiner(mixer(), mixer(), latent_steps=2)


def compose(refiner=None, truncation=None, halting=None, sizes=SIZES, **settings):
    refiner = SingleRefiner(mixer()) if refiner is None else refiner
    return Recursion(sizes, refiner, truncation or EveryUpdate(), halting or FixedHalting(), **settings)


class Noisy(SingleRefiner):
    stationary = False


class Summary(NamedTuple):
    summary: Tensor


class Nameless(SingleRefiner):
    def initial_state(self, injection):
        return Summary(self.answer_start(injection))


class Bare(SingleRefiner):
    def initial_state(self, injection):
        return self.answer_start(injection)


class Restless(TwoLevelRefiner):
    def update(self, state, injection, level):
        after = super().update(state, injection, level)
        return after._replace(latent=after.latent * 0.5)


class Growing(SingleRefiner):
    def update(self, state, injection, level):
        return SingleState(torch.cat([state.answer, state.answer], dim=1))


class Widening(SingleRefiner):
    def update(self, state, injection, level):
        return SingleState(state.answer.double())


class Deaf(SingleRefiner):
    def update(self, state, injection, level):
        return SingleState(self.cell(state.answer))


class Started(Deaf):
    def initial_state(self, injection):
        return SingleState(injection)


class Misspelt(SingleRefiner):
    def schedule(self):
        return ("answer", "anwser")


class Idle(TwoLevelRefiner):
    def schedule(self):
        return ("answer",)


class Unheard(TwoLevelRefiner):
    def schedule(self):
        return ("answer", "latent")


REFUSED = {
    "cycles": (lambda: compose(cycles=0), "at least one cycle, not 0", "set model.cycles to 1 or more"),
    "max_segments": (
        lambda: compose(max_segments=0),
        "at least one segment, not 0",
        "set model.max_segments to 1 or more",
    ),
    "exploration above 1": (
        lambda: compose(exploration=1.1),
        "exploration is a probability, not 1.1",
        "set model.exploration between 0 and 1",
    ),
    "exploration below 0": (
        lambda: compose(exploration=-0.1),
        "exploration is a probability, not -0.1",
        "set model.exploration between 0 and 1",
    ),
    "exploration nan": (
        lambda: compose(exploration=float("nan")),
        "exploration is a probability, not nan",
        "set model.exploration between 0 and 1",
    ),
    "look-ahead": (
        lambda: compose(halting=QLearningHalting(), max_segments=1),
        "look-ahead has nothing to look at when there is one segment",
        "set model.max_segments to 2 or more, or model.halting to FixedHalting",
    ),
    "too many updates": (
        lambda: compose(truncation=LastUpdates(4), cycles=3),
        "LastUpdates(count=4) is longer than the segment",
        "set truncation LastUpdates(count=...) to at most 3, or raise cycles",
    ),
    "too many cycles": (
        lambda: compose(hrm(), LastCycles(3), cycles=2),
        "LastCycles(count=3) is longer than the segment",
        "set truncation LastCycles(count=...) to at most 2, or raise cycles",
    ),
    "too many of a level": (
        lambda: compose(hrm(), LastPerLevel({"answer": 3, "latent": 2}), cycles=2),
        "is longer than the segment",
        "set truncation LastPerLevel(counts={'answer': ...}) to at most 2, or raise cycles",
    ),
    "level unknown to the window": (
        lambda: compose(hrm(), LastPerLevel({"answr": 1}), cycles=2),
        "names the level 'answr', which no update writes",
        "did you mean 'answer'?",
    ),
    "phantom steps": (
        lambda: compose(truncation=PhantomGradient(steps=4), cycles=3),
        "does not fit cycles=3",
        "set truncation steps to at most cycles, at least 1",
    ),
    "cell outside the window": (
        lambda: compose(hrm(), LastUpdates(1), cycles=2),
        "leaves the cell of level 'latent' untrained: no update of it carries gradient",
        "set truncation LastUpdates(count=...) to at least 2, or freeze the cell",
    ),
    "cell never updated": (
        lambda: compose(Idle(mixer(), mixer())),
        "leaves the cell of level 'latent' untrained: Idle never updates it",
        "add 'latent' to schedule() of Idle, or freeze the cell",
    ),
    "cell never read": (
        lambda: compose(Unheard(mixer(), mixer()), LastCycles(1), cycles=1),
        "what its updates in the window write is lost before it reaches the answer",
        "let an update of 'answer' follow 'latent' in schedule() of Unheard, or freeze the cell",
    ),
    "encoder outside the window": (
        lambda: compose(TwoLevelRefiner(mixer()), LastUpdates(1), cycles=2),
        "LastUpdates(count=1) leaves the encoder untrained: no update that reads the question",
        "set truncation LastCycles(count=1)",
    ),
    "encoder outside the window of a level": (
        lambda: compose(TwoLevelRefiner(mixer()), LastPerLevel({"answer": 2}), cycles=2),
        "leaves the encoder untrained",
        "set truncation LastCycles(count=1)",
    ),
    "question never read": (
        lambda: compose(Deaf(mixer()), ImplicitGradient(), cycles=3),
        "leaves the encoder untrained",
        "or freeze the encoder",
    ),
    "no fixed point": (
        lambda: compose(Noisy(mixer()), ImplicitGradient()),
        "needs the same cycle every time, but Noisy has stationary=False",
        "set truncation LastCycles(count=1) or another window",
    ),
    "one cycle to solve": (
        lambda: compose(truncation=ImplicitGradient(), cycles=1),
        "needs a cycle to solve and one to record",
        "set cycles=1 to 2 or more",
    ),
    "state without answer": (
        lambda: compose(Nameless(mixer())),
        "the state of Nameless has no field 'answer'",
        "rename the level that is read out",
    ),
    "state not a named tuple": (
        lambda: compose(Bare(mixer())),
        "the state of Bare is a Tensor",
        "make it a NamedTuple of tensors",
    ),
    "two levels written": (
        lambda: compose(Restless(mixer())),
        "the update of level 'answer' in Restless also replaces latent",
        "write one level, state._replace(answer=...)",
    ),
    "shape changed": (
        lambda: compose(Growing(mixer())),
        "turns answer from (2, 16, 16) torch.float32 into (2, 32, 16) torch.float32",
        "keep shape and dtype",
    ),
    "dtype changed": (
        lambda: compose(Widening(mixer())),
        "turns answer from (2, 16, 16) torch.float32 into (2, 16, 16) torch.float64",
        "keep shape and dtype",
    ),
    "level without field": (
        lambda: compose(Misspelt(mixer())),
        "Misspelt schedules the level 'anwser', which is not both a field of its state ('answer',)",
        "a key of its cells() ('answer',)",
    ),
    "cell of another width": (
        lambda: compose(SingleRefiner(nn.Linear(WIDTH + 1, WIDTH + 1))),
        "the update of level 'answer' in SingleRefiner fails on a state of shape (2, 16, 16)",
        "or set model.width to its width",
    ),
    "cell that narrows": (
        lambda: compose(SingleRefiner(nn.Linear(WIDTH, 1))),
        "turns answer from (2, 16, 16) torch.float32 into (2, 16, 1) torch.float32",
        "keep shape and dtype",
    ),
    "heads": (
        lambda: compose(SingleRefiner(TransformerCell(heads=3))),
        "3 heads do not divide width 16 into even parts",
        "set model.width to a multiple of 6 or change the cell's heads",
    ),
    "task width": (
        lambda: compose(sizes=SIZES._replace(prefix=1), encoder=TokenEncoder(task_width=17)),
        "task_width 17 does not fit 1 prefix positions",
        "set task_width between 1 and 16 or change model.prefix",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason_and_the_remedy(name):
    build, reason, remedy = REFUSED[name]
    with pytest.raises(IncompatibleComponents) as caught:
        build()
    message = str(caught.value)
    assert reason in message
    assert remedy in message
    assert "\n" not in message


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

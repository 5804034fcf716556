"""The training rule of one segment, and changing a composition that is already made."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import NUMBERS, SIZES, batch, equilibrium, mixer, numbers, opinionated, single, trm
from noisy import DrawnWindow, noisy
from torch import Tensor

from recurlight import slots
from recurlight.draw.seeding import generators_kept, seed_batch
from recurlight.errors import IncompatibleComponents
from recurlight.halting import ConvergenceHalting, CorrectnessHalting, FixedHalting, QLearningHalting
from recurlight.losses import MeanSquaredError, SoftmaxCrossEntropy
from recurlight.recursion import Recursion
from recurlight.refiners import TwoLevelRefiner
from recurlight.spec import to_spec
from recurlight.truncation import EveryUpdate, ImplicitGradient, LastCycles, LastUpdates, PhantomGradient


def cross_entropy(score: Tensor, target: Tensor) -> Tensor:
    right = score.sigmoid()
    return -(target * right.log() + (1 - target) * (1 - right).log())


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_the_loss_is_cross_entropy_and_weighted_halting_loss_in_the_mean_over_slots(weight):
    recursion = opinionated(trm(CorrectnessHalting()).double(), spread=0.5)
    carry, fresh = recursion.start(batch()), batch()
    found = recursion.learn(carry, fresh, SoftmaxCrossEntropy(), 0, halting_weight=weight)
    _, segment, score = recursion.segment(carry, fresh)
    tokens = -segment.logits.log_softmax(-1).gather(-1, fresh.labels[..., None]).mean(dim=(1, 2))
    correct = (segment.logits.argmax(-1) == fresh.labels).all(1)
    halting = cross_entropy(score[:, 0], correct.double())
    torch.testing.assert_close(found.loss, (tokens + weight * halting).mean(), rtol=1e-12, atol=0)
    assert torch.equal(found.correct, correct)
    assert torch.equal(found.segment.logits, segment.logits)


def test_the_loss_says_which_answers_are_right_and_halting_learns_it():
    """Fails if fields are judged as tokens are, or halting learns another rule than the loss has."""
    recursion = Recursion(
        NUMBERS,
        TwoLevelRefiner(mixer(), latent_steps=2),
        LastCycles(1),
        CorrectnessHalting(),
        exploration=0.0,
    )
    opinionated(recursion.double(), spread=0.5)
    fresh = numbers(6)._replace(inputs=numbers(6).inputs.double())
    carry = recursion.start(fresh)
    _, segment, score = recursion.segment(carry, fresh)
    labels = fresh.labels.double()
    apart = (segment.logits - labels)[:, :-4, 0]
    errors = apart.norm(dim=1) / labels[:, :-4, 0].norm(dim=1)
    tolerance = errors.sort().values[2:4].mean().item()  # three of them are right
    found = recursion.learn(carry, fresh, MeanSquaredError(tolerance), 0, halting_weight=3.0)
    assert torch.equal(found.correct, errors <= tolerance)
    assert found.correct.sum() == 3
    halting = cross_entropy(score[:, 0], found.correct.double())
    expected = (apart.square().mean(1) + 3 * halting).mean()
    torch.testing.assert_close(found.loss, expected, rtol=1e-12, atol=0)


def test_the_carry_is_detached_one_segment_older_and_halted_by_the_policy_of_its_step():
    recursion = opinionated(trm(QLearningHalting(), exploration=0.7, max_segments=5).double())
    carry = recursion.start(batch(8))
    for step in range(6):
        before, score = recursion.segment(carry, batch(8, seed=step))[::2]
        found = recursion.learn(carry, batch(8, seed=step), SoftmaxCrossEntropy(), step)
        expected = recursion.halt(before, score.detach(), step)
        assert torch.equal(found.carry.halted, expected.halted)
        assert torch.equal(found.carry.age, torch.where(carry.halted, 0, carry.age) + 1)
        assert not any(field.requires_grad for field in found.carry.state)
        carry = found.carry


def noisy_steps(rank: int = 0, ranks: int = 1, steps: int = 3) -> tuple[list[Tensor], Tensor]:
    """Train one rank's share of the batch with parts that draw: losses, and gradients of the last step."""
    recursion = Recursion(
        SIZES, noisy(), DrawnWindow(), CorrectnessHalting(), cycles=2, max_segments=3, exploration=0.5
    ).double()
    rows = torch.arange(8).chunk(ranks)[rank]
    carry, losses = recursion.start(slots.take(rows, batch(8))), []
    for step in range(steps):
        seed_batch(0, step)
        fresh = slots.take(rows, batch(8, seed=step))
        carry, loss, _, _ = recursion.learn(carry, fresh, SoftmaxCrossEntropy(), step, rank=rank, ranks=ranks)
        losses.append(loss)
    gradients = torch.autograd.grad(losses[-1], list(recursion.refiner.parameters()))
    return losses, torch.cat([gradient.flatten() for gradient in gradients])


def test_parts_that_draw_learn_on_ranks_what_they_learn_on_one():
    """Fails if noise, starts, dropout or windows of two or four ranks are not those of one process."""
    with generators_kept():
        losses, gradient = noisy_steps()
        for ranks in (2, 4):
            parts = [noisy_steps(rank, ranks) for rank in range(ranks)]
            for step, loss in enumerate(losses):
                torch.testing.assert_close(sum(part[0][step] for part in parts) / ranks, loss)
            together = sum(part[1] for part in parts) / ranks
            torch.testing.assert_close(together, gradient, rtol=0, atol=1e-10)
    assert gradient.abs().max() > 1e-4


def test_two_ranks_halt_as_one_process_does():
    recursion = opinionated(trm(CorrectnessHalting(), exploration=0.7).double())
    whole = batch(8)
    together = recursion.learn(recursion.start(whole), whole, SoftmaxCrossEntropy(), 3).carry.halted
    parts = []
    for rank in range(2):
        share = type(whole)(*(field[4 * rank :][:4] for field in whole))
        learnt = recursion.learn(recursion.start(share), share, SoftmaxCrossEntropy(), 3, rank=rank, ranks=2)
        parts.append(learnt.carry.halted)
    assert torch.equal(torch.cat(parts), together)


def steps(recursion: Recursion, count: int) -> list[Tensor]:
    carry, losses = recursion.start(batch()), []
    for step in range(count):
        carry, loss, _, _ = recursion.learn(carry, batch(seed=step), SoftmaxCrossEntropy(), step)
        losses.append(loss.detach())
    return losses


def gradients(recursion: Recursion) -> list[Tensor]:
    recursion.zero_grad()
    recursion.learn(recursion.start(batch()), batch(), SoftmaxCrossEntropy(), 0).loss.backward()
    return [weight.grad for weight in recursion.parameters()]


def test_a_reconfigured_composition_is_the_one_that_was_made_so():
    made = Recursion(
        SIZES,
        TwoLevelRefiner(mixer(), latent_steps=2),
        LastUpdates(4),
        CorrectnessHalting(),
        cycles=3,
        max_segments=2,
        exploration=0.0,
    )
    changed = trm()
    assert not all(torch.equal(a, b) for a, b in zip(gradients(changed), gradients(made), strict=True))
    changed.reconfigure(cycles=3, max_segments=2, truncation=LastUpdates(4))
    assert (changed.cycles, changed.max_segments, changed.truncation) == (3, 2, LastUpdates(4))
    for ours, theirs in zip(gradients(changed), gradients(made), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(steps(changed, 5), steps(made, 5), strict=True):
        assert torch.equal(ours, theirs)


def test_a_refiner_s_counts_are_changed_as_if_it_had_been_made_so():
    """Fails if the schedule is not asked anew, or the refiner tells what it was made with at first."""
    made = Recursion(SIZES, TwoLevelRefiner(mixer(), latent_steps=4), LastUpdates(4), CorrectnessHalting())
    changed = Recursion(SIZES, TwoLevelRefiner(mixer(), latent_steps=2), LastUpdates(4), CorrectnessHalting())
    changed.reconfigure(latent_steps=4)
    for ours, theirs in zip(gradients(changed), gradients(made), strict=True):
        assert torch.equal(ours, theirs)
    assert to_spec(changed.refiner) == to_spec(made.refiner)


def test_a_change_for_now_is_forgotten():
    """Fails if anything of it stays, or the checks are left out."""
    recursion = trm()
    before, stated = recursion.composition(), to_spec(recursion.refiner)
    recursion.reconfigure(cycles=5, latent_steps=3, truncation=LastUpdates(4), for_now=True)
    assert (recursion.cycles, recursion.refiner.latent_steps, recursion.stated) == (5, 3, before)
    assert to_spec(recursion.refiner) == stated
    with pytest.raises(IncompatibleComponents):
        recursion.reconfigure(truncation=LastUpdates(99), for_now=True)
    assert recursion.composition() == {**before, "cycles": 5, "latent_steps": 3, "truncation": LastUpdates(4)}
    recursion.restore()
    assert recursion.composition() == recursion.stated == before


def test_a_composition_for_now_is_checked_once_and_again_when_more_is_required():
    """Fails if each step of a curriculum pays for the checks, or a new requirement is not held to."""
    recursion, asked = trm(), []
    recursion.require(lambda driver: asked.append(driver.cycles))
    for cycles in (3, 4, 3, 4):
        recursion.reconfigure(cycles=cycles, for_now=True)
    recursion.reconfigure(cycles=3)
    assert asked == [2, 3, 4, 3]
    recursion.require(lambda driver: None)
    recursion.reconfigure(cycles=4, for_now=True)
    assert asked[4:] == [4]


class Nested(TwoLevelRefiner):
    """A user's own, with a count of its own."""

    adjustable = ("latent_steps", "rounds")

    def __init__(self, latent, rounds: int = 1) -> None:
        super().__init__(latent, latent_steps=1)
        self.rounds = rounds

    def schedule(self):
        return super().schedule() * self.rounds


def test_a_refiner_of_one_s_own_says_what_may_change():
    """Fails if only the counts of recurlight's own refiners can."""
    recursion = Recursion(SIZES, Nested(mixer()), EveryUpdate(), CorrectnessHalting(), cycles=1)
    recursion.reconfigure(rounds=3, latent_steps=2)
    assert recursion.refiner.schedule() == ("latent", "latent", "answer") * 3


class Misnamed(TwoLevelRefiner):
    adjustable = ("turns",)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: trm().reconfigure(latent_steps=0), "TwoLevelRefiner got latent_steps=0: give 1 or more"),
        (lambda: trm().reconfigure(latent_stepps=2), r"did you mean 'latent_steps'\?: only what TwoLevelRef"),
        (
            lambda: single().reconfigure(steps=2),
            "SingleRefiner lets no steps be changed: .* which is nothing",
        ),
        (
            lambda: Recursion(SIZES, Misnamed(mixer()), EveryUpdate(), CorrectnessHalting()),
            "Misnamed.adjustable names 'turns', and its attribute of that name is None: keep",
        ),
    ],
)
def test_a_count_that_cannot_be_changed_is_named(act, message):
    """Fails if an attribute is set that nothing reads."""
    with pytest.raises(IncompatibleComponents, match=message):
        act()


def test_what_is_not_named_is_kept_and_weights_are_not_drawn_anew():
    recursion = trm()
    weights = copy.deepcopy(recursion.state_dict())
    recursion.reconfigure(max_segments=7)
    assert (recursion.cycles, recursion.max_segments, recursion.truncation) == (2, 7, LastCycles(1))
    assert all(torch.equal(value, weights[name]) for name, value in recursion.state_dict().items())


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (trm, {"cycles": 0}, "Recursion got cycles=0: give 1 or more"),
        (trm, {"max_segments": 0}, "Recursion got max_segments=0: give 1 or more"),
        (trm, {"truncation": LastUpdates(1)}, "leaves the cell of level|leaves the encoder untrained"),
        (trm, {"truncation": LastCycles(3)}, "LastCycles"),
        (lambda: trm(QLearningHalting()), {"max_segments": 1}, "look-ahead"),
        (equilibrium, {"cycles": 1}, "set cycles=1 to 2 or more"),
        (single, {"cycles": 1, "truncation": ImplicitGradient()}, "set cycles=1 to 2 or more"),
        (lambda: single(cycles=4), {"truncation": PhantomGradient(steps=9)}, "PhantomGradient"),
    ],
)
def test_a_change_that_is_refused_leaves_everything_as_it_was(make, change, message):
    recursion = make()
    before = (recursion.cycles, recursion.max_segments, recursion.truncation)
    with pytest.raises(IncompatibleComponents, match=message):
        recursion.reconfigure(**{"cycles": 2, "max_segments": 3} | change)
    assert (recursion.cycles, recursion.max_segments, recursion.truncation) == before


def test_evaluation_may_ask_for_other_cycles_than_training_was_changed_to():
    recursion = single(cycles=3)
    before = recursion.solve(batch(), 1).logits
    recursion.reconfigure(cycles=1, truncation=EveryUpdate())
    assert torch.equal(recursion.solve(batch(), 1, cycles=3).logits, before)
    assert not torch.equal(recursion.solve(batch(), 1).logits, before)


@pytest.mark.parametrize("halting", [FixedHalting, CorrectnessHalting, QLearningHalting, ConvergenceHalting])
@pytest.mark.parametrize("kind", ["fields", "tokens in", "tokens out"])
def test_every_halting_policy_serves_fields_and_mixed_tasks(halting, kind):
    """Fails if a policy takes numbers for logits, or questions and answers have to be of one kind."""
    fields, tokens = numbers(4), batch(4)
    sizes = NUMBERS._replace(vocab=6)
    given, loss = fields, MeanSquaredError(0.5)
    if kind == "tokens in":
        sizes, given = sizes._replace(features=0), fields._replace(inputs=tokens.inputs)
    if kind == "tokens out":
        sizes, given, loss = (
            sizes._replace(targets=0),
            fields._replace(labels=tokens.labels),
            SoftmaxCrossEntropy(),
        )
    refiner = TwoLevelRefiner(mixer(), latent_steps=2)
    recursion = Recursion(sizes, refiner, LastCycles(1), halting(), cycles=2, max_segments=3)
    carry = recursion.start(given)
    for step in range(3):
        carry, total, segment, correct = recursion.learn(carry, given, loss, step)
        total.backward()
    assert all(weight.grad.isfinite().all() for weight in recursion.parameters() if weight.grad is not None)
    assert recursion.encoder.get_parameter("token" if kind == "tokens in" else "weight").grad.any()
    assert torch.equal(correct, loss.right(segment.logits, given.labels))
    found = recursion.solve(given)
    assert found.logits.shape == (4, 16, 6 if kind == "tokens out" else 1)

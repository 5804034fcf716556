"""What is kept of a solve is what the driver computed, for every kind of composition."""

from __future__ import annotations

import json

import pytest
import torch
from helpers import NUMBERS, SIZES, batch, equilibrium, mixer, numbers, opinionated, single, trm

from recurlight import (
    ConfidentAnswer,
    CorrectnessHalting,
    EveryUpdate,
    FixedHalting,
    LastPerLevel,
    LastUpdates,
    PhantomGradient,
    QLearningHalting,
    Recursion,
    SingleRefiner,
    replay,
)
from recurlight.errors import DataError, IncompatibleComponents
from recurlight.rendering import Drawable
from recurlight.tracing.records import Replay
from recurlight.types import IGNORE, Batch


class Grid(Drawable):
    grid_shape = (4, 4)


class Line(Drawable):
    grid_shape = (1, 16)


class Field(Drawable):
    grid_shape = (4, 4)
    targets = 1


def half_known(asked: Batch) -> Batch:
    """Leave the first half of every answer out."""
    labels = asked.labels.clone()
    labels[:, :8] = IGNORE
    return asked._replace(labels=labels)


def fields() -> Recursion:
    parts = SingleRefiner(mixer()), EveryUpdate(), FixedHalting()
    return Recursion(NUMBERS, *parts, cycles=3, max_segments=2)


def phantom() -> Recursion:
    parts = SingleRefiner(mixer()), PhantomGradient(2), FixedHalting()
    return Recursion(SIZES, *parts, cycles=4, max_segments=2)


CASES = {
    "two levels": (lambda: opinionated(trm(), 3.0), batch(6), Grid()),
    "a rule of its own": (lambda: trm(stopping=ConfidentAnswer(0.25)), batch(6), Grid()),
    "q-learning": (lambda: opinionated(trm(QLearningHalting()), 3.0), batch(6), Line()),
    "one level": (single, batch(6), Line()),
    "a solver": (equilibrium, batch(6), Grid()),
    "damped cycles": (phantom, batch(6), Grid()),
    "labels in part": (lambda: opinionated(trm(), 3.0), half_known(batch(6)), Grid()),
    "numbers": (fields, numbers(6), Field()),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("adaptive", [True, False])
def test_the_numbers_are_those_of_the_prediction(case, adaptive):
    """Fails if another driver, rule, row or number of segments is shown than `predict` has."""
    make, asked, data = CASES[case]
    recursion = make().eval()
    expected = recursion.solve(asked, adaptive=adaptive)
    answers = recursion.unroll(asked)
    logits = torch.stack([each.logits for each in answers])  # (S, B, ...)
    for row in range(len(asked.task)):
        found = replay(recursion, asked, data, row, adaptive=adaptive)
        assert found.predicted == expected.segments[row]
        assert len(found.segments) == recursion.max_segments
        last = found.segments[found.predicted - 1]
        assert last.stops == expected.halted[row]
        assert (last.confidence or 0) == pytest.approx(expected.confidence[row].item(), abs=1e-6)
        if not recursion.sizes.targets:
            same_as_read(found, logits[:, row], asked.labels[row])


def same_as_read(found: Replay, logits: torch.Tensor, labels: torch.Tensor) -> None:
    """Compare what is shown after each segment with its logits, `(S, L, V)`."""
    for number, own in enumerate(logits, 1):
        reading = found.reading(found.last_update(number))
        counted = [cell for cell, label in enumerate(labels.tolist()) if label != IGNORE]
        tokens = own.argmax(dim=-1)
        assert found.counted == counted
        assert [reading.tokens[cell] for cell in counted] == tokens[counted].tolist()
        assert reading.wrong == [cell for cell in counted if tokens[cell] != labels[cell]]
        sure = (own.softmax(dim=-1).amax(dim=-1) * 100).round().int().tolist()
        assert reading.confidence == [sure[c] if c in counted else None for c in range(len(sure))]


def test_every_update_is_kept_in_order():
    """Fails if levels, cycles or the changes between two updates are mixed up."""
    recursion = trm().eval()
    found = replay(recursion, batch(3), Grid(), 2)
    assert [update.level for update in found.updates] == ["latent", "latent", "answer"] * 8
    assert [update.segment for update in found.updates] == [n for n in range(1, 5) for _ in range(6)]
    assert [update.cycle for update in found.updates[:6]] == [1, 1, 1, 2, 2, 2]
    assert found.levels == ["answer", "latent"]
    for at, update in enumerate(found.updates, 1):
        assert {*update.read} <= {update.level}
        before, after = found.reading(at - 1, update.level), found.reading(at, update.level)
        cells = zip(before.tokens, after.tokens, strict=True)
        changed = [cell for cell, (one, other) in enumerate(cells) if one != other]
        assert changed == (update.read[update.level].changed if update.read else [])
        assert update.change > 0


def test_the_levels_are_read_through_the_decoder():
    """Fails if another level or the state of another moment is read."""
    recursion, asked = trm().eval(), batch(3)
    found = replay(recursion, asked, Grid(), 1, segments=2)
    carry = recursion.start(asked)
    with torch.no_grad():
        for number in (1, 2):
            carry, _, score = recursion.segment(carry, asked)
            end = found.last_update(number)
            for level in ("answer", "latent"):
                tokens = recursion.decoder(getattr(carry.state, level))[1].argmax(dim=-1).tolist()
                assert found.reading(end, level).tokens == tokens
            assert found.segments[number - 1].score == pytest.approx(score[1].tolist())


@pytest.mark.parametrize(
    ("truncation", "cycles", "flags"),
    [
        (LastUpdates(2), None, "000011"),
        (LastPerLevel({"latent": 1, "answer": 2}), None, "001011"),
        (EveryUpdate(), 3, "000111111"),  # trained with two cycles, evaluated with three
        (EveryUpdate(), 1, "111"),
    ],
)
def test_the_window_is_that_of_training(truncation, cycles, flags):
    """Fails if evaluation, which records nothing, hides what training records."""
    recursion = trm()
    recursion.reconfigure(truncation=truncation)
    found = replay(recursion.eval(), batch(2), Grid(), cycles=cycles, segments=2)
    assert "".join(str(int(update.gradient)) for update in found.updates) == flags * 2


def test_a_solver_shows_the_points_that_it_tries_and_records_one_cycle():
    found = replay(equilibrium().eval(), batch(2), Grid())
    assert [update.gradient for update in found.updates] == [False] * 5 + [True]


def test_a_replay_leaves_the_driver_as_it_was():
    """Fails if the watched refiner stays, generators move, or a second replay shows something else."""
    recursion = opinionated(trm()).eval()
    refiner, before = recursion.refiner, torch.get_rng_state()
    first = replay(recursion, batch(3), Grid())
    assert recursion.refiner is refiner
    assert torch.equal(before, torch.get_rng_state())
    assert replay(recursion, batch(3), Grid()) == first


def test_questions_without_an_answer_have_nothing_wrong():
    asked = batch(2)
    asked = asked._replace(labels=torch.full_like(asked.labels, IGNORE))
    found = replay(trm().eval(), asked, Grid())
    assert found.answer is None
    assert found.counted == [*range(16)]
    assert not any(reading.wrong for update in found.updates for reading in update.read.values())
    assert found.summary() == ": answered after 4 of 4 segments"


def test_what_is_plain_is_json():
    """Fails if a number that JSON lacks, or a tensor, is left in it."""
    recursion = trm()
    recursion.decoder.head.weight.data.fill_(torch.nan)
    found = replay(recursion.eval(), batch(2), Grid(), title="broken").plain()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert replay(fields().eval(), numbers(2), Field()).plain()["error"] > 0


def test_a_row_that_is_not_there_is_refused():
    with pytest.raises(IncompatibleComponents, match="row"):
        replay(trm().eval(), batch(2), Grid(), 2)
    blank = Batch(*(torch.zeros_like(field) for field in batch(2)))
    blank = blank._replace(labels=torch.full_like(blank.labels, IGNORE))
    with pytest.raises(DataError, match="row 1 of the batch is padding"):
        replay(trm().eval(), blank, Grid(), 1)


def test_rules_that_judge_are_named():
    found = replay(opinionated(trm(CorrectnessHalting())).eval(), batch(2), Grid())
    assert found.parts["stopping"].startswith("Both(")
    assert found.parts["refiner"] == "TwoLevelRefiner"
    assert all(0 <= judged.confidence <= 1 for judged in found.segments)

"""The driver's evaluation side: unrolling, early stops row by row, and their equality."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, batch, opinionated, single, trm
from noisy import noisy
from torch import Tensor

from recurlight import slots
from recurlight.draw.seeding import seeded_evaluation
from recurlight.errors import IncompatibleComponents
from recurlight.halting import ConvergenceHalting, CorrectnessHalting, Halting, QLearningHalting
from recurlight.recursion import Recursion
from recurlight.stopping import AsTrained
from recurlight.truncation import LastCycles
from recurlight.types import Prediction

ROWS, SEGMENTS = 11, 6


def policies() -> list[Halting]:
    return [CorrectnessHalting(), QLearningHalting(), ConvergenceHalting(tolerance=0.9)]


def recursion(halting: Halting, **settings):
    made = trm(halting, max_segments=SEGMENTS, **settings).double()
    return opinionated(made) if hasattr(halting, "head") else made


def stopped(model, questions) -> tuple[Tensor, Tensor, Tensor]:
    """Where each row would stop, found with all rows running: segments, answer, whether it halted."""
    trail = list(model.unroll(questions, SEGMENTS))
    said = torch.stack([found.halted for found in trail])  # (S, B)
    first = torch.where(said.any(0), said.int().argmax(0), SEGMENTS - 1)
    logits = torch.stack([found.logits for found in trail])[first, torch.arange(ROWS)]
    return first + 1, logits, said.any(0)


@pytest.mark.parametrize("halting", policies(), ids=lambda policy: type(policy).__name__)
def test_adaptive_rows_stop_where_their_policy_first_says_so(halting):
    model, questions = recursion(halting), batch(ROWS)
    segments, logits, said = stopped(model, questions)
    assert len(segments.unique()) >= 3  # rows do part ways
    found = model.solve(questions, SEGMENTS, stopping=AsTrained())
    assert found.segments.tolist() == segments.tolist()
    assert found.halted.tolist() == said.tolist()
    torch.testing.assert_close(found.logits, logits, rtol=0, atol=1e-8)


@pytest.mark.parametrize("training", [True, False])
def test_rows_that_go_on_draw_as_if_nobody_had_left(training):
    """Fails if rows are numbered anew once others have left, or if the padding rows draw for themselves."""
    halting = CorrectnessHalting()
    model = Recursion(SIZES, noisy(), LastCycles(1), halting, cycles=2, max_segments=SEGMENTS).double()
    opinionated(model, spread=0.5).train(training)
    with seeded_evaluation(0, 0):
        segments, logits, _ = stopped(model, batch(ROWS))
    assert len(segments.unique()) >= 3
    with seeded_evaluation(0, 0):
        found = model.solve(batch(ROWS), SEGMENTS, stopping=AsTrained())
    assert found.segments.tolist() == segments.tolist()
    torch.testing.assert_close(found.logits, logits, rtol=0, atol=1e-8)


def test_each_yield_stands_for_all_rows():
    model, questions = recursion(CorrectnessHalting()), batch(ROWS)
    segments, _, _ = stopped(model, questions)
    trail = list(model.unroll(questions, SEGMENTS, adaptive=True, stopping=AsTrained()))
    assert len(trail) == segments.max()
    for count, found in enumerate(trail, start=1):
        assert found.segments.tolist() == segments.clamp(max=count).tolist()
        assert found.logits.shape == (ROWS, 16, 6)


def sizes_seen(model, questions) -> list[int]:
    """How many rows each segment of an adaptive solve computes."""
    seen: list[int] = []
    hook = model.decoder.register_forward_hook(lambda _, args, out: seen.append(len(out)))
    model.solve(questions, SEGMENTS, stopping=AsTrained())
    hook.remove()
    return seen


def test_rows_that_stopped_leave_the_batch():
    model, questions = recursion(CorrectnessHalting()), batch(ROWS)
    segments = stopped(model, questions)[0]
    left = [int((segments > count).sum()) for count in range(1, int(segments.max()))]
    assert left[-1] <= ROWS / 4
    assert sizes_seen(model, questions) == [ROWS, *map(slots.bucket, left)]


def test_padding_never_makes_the_batch_larger():
    model, questions = recursion(CorrectnessHalting()), batch(ROWS)
    order = stopped(model, questions)[0].argsort()
    rows = torch.cat([order[:1], order[-5:]])  # one stops first, and five rows would be padded to eight
    assert sizes_seen(model, slots.take(rows, questions))[:2] == [6, 6]


def test_all_rows_run_all_segments_unless_adaptive():
    model = recursion(CorrectnessHalting())
    trail = list(model.unroll(batch(ROWS), SEGMENTS))
    assert [found.segments.unique().tolist() for found in trail] == [[count + 1] for count in range(SEGMENTS)]
    assert trail[0].halted.any()
    assert not trail[0].halted.all()


def test_iteration_ends_when_every_row_stopped():
    model = recursion(CorrectnessHalting())
    model.halting.head.weight.data.zero_()
    model.halting.head.bias.data.fill_(1.0)
    assert len(list(model.unroll(batch(ROWS), SEGMENTS, adaptive=True, stopping=AsTrained()))) == 1
    assert len(list(model.unroll(batch(ROWS), SEGMENTS, adaptive=False))) == SEGMENTS


def test_rows_stopped_by_the_cap_are_not_called_halted():
    model = recursion(CorrectnessHalting())
    model.halting.head.weight.data.zero_()
    model.halting.head.bias.data.fill_(-1.0)
    found = model.solve(batch(ROWS), 2, adaptive=True)
    assert found.segments.tolist() == [2] * ROWS
    assert not found.halted.any()


@pytest.mark.parametrize("adaptive", [True, False])
def test_rows_do_not_see_each_other(adaptive):
    model, questions = recursion(CorrectnessHalting()), batch(ROWS)
    whole = model.solve(questions, 3, adaptive)
    part = model.solve(slots.take(torch.tensor([4, 2]), questions), 3, adaptive)
    assert part.segments.tolist() == whole.segments[[4, 2]].tolist()
    torch.testing.assert_close(part.logits, whole.logits[[4, 2]], rtol=0, atol=1e-8)


def test_solve_is_segment_after_segment():
    model, questions = recursion(CorrectnessHalting()), batch(ROWS)
    carry = model.start(questions)
    for _ in range(3):
        carry, segment, _ = model.segment(carry, questions)
    found = model.solve(questions, 3, adaptive=False)
    assert torch.equal(found.logits, segment.logits)
    assert found.segments.tolist() == [3] * ROWS


@pytest.mark.parametrize("count", [1, 3, 9])
def test_more_segments_than_in_training_are_allowed(count):
    model = trm(max_segments=3)
    assert len(list(model.unroll(batch(2), count))) == count
    assert len(list(model.unroll(batch(2)))) == 3


def test_cycles_of_the_caller_win():
    model, questions = single(cycles=3), batch(ROWS)
    twice = model.solve(questions, 1, cycles=6).logits
    assert torch.equal(twice, single(cycles=6).solve(questions, 1).logits)
    torch.testing.assert_close(twice, model.solve(questions, 2).logits)
    assert not torch.equal(twice, model.solve(questions, 1).logits)


def test_one_row_and_one_segment():
    found = single().solve(batch(1))
    assert isinstance(found, Prediction)
    assert found.logits.shape == (1, 16, 6)
    assert found.segments.tolist() == [1]


def test_nothing_is_recorded():
    found = trm().solve(batch(2), adaptive=True)
    assert not any(leaf.requires_grad for leaf in found)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("numbers", [{"cycles": 0}, {"max_segments": 0}, {"cycles": -1}])
def test_running_nothing_is_refused_by_name(numbers):
    """Fails if 0 is taken for "not given", which would run the model's own number without a word."""
    with pytest.raises(IncompatibleComponents, match=f"{next(iter(numbers))}=.*give 1 or more"):
        single().solve(batch(2), **numbers)

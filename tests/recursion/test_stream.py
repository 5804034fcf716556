"""Streams of questions: what comes out, in which order, how full slots are, and what is held meanwhile."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest
import torch
from helpers import NUMBERS, SIZES, batch, numbers, opinionated, trm
from noisy import noisy
from stopping.counting import CAP, counting
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode

from recurlight import slots
from recurlight.errors import IncompatibleComponents
from recurlight.halting import ConvergenceHalting, CorrectnessHalting, FixedHalting
from recurlight.recursion import Recursion, compile_cells
from recurlight.stopping import AsTrained, Both, ConfidentJudge, StableAnswer, Stopping
from recurlight.supervision import Denoising
from recurlight.truncation import LastCycles
from recurlight.types import Batch, Prediction

ROWS, SEGMENTS = 60, 6


def divided(questions: Batch, *sizes: int) -> list[Batch]:
    """Batches of those sizes, over and over."""
    parts, first = [], 0
    while first < len(questions.task):
        size = sizes[len(parts) % len(sizes)]
        parts.append(Batch(*(field[first : first + size] for field in questions)))
        first += size
    return parts


def joined(found: list[tuple[Batch, Prediction]]) -> Prediction:
    return Prediction(*map(torch.cat, zip(*(prediction for _, prediction in found), strict=True)))


def planted(rows: int) -> Batch:
    """Questions that take `counting` from 1 to 8 segments, and those that are stopped by the cap."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(1, 9, (rows, 3), generator=generator)
    return Batch(inputs, inputs, torch.randint(0, 9, (rows,), generator=generator))


def model(**settings) -> Recursion:
    return opinionated(trm(max_segments=SEGMENTS, **settings)).double()


RULES = [AsTrained(), StableAnswer(), Both(StableAnswer(2), ConfidentJudge(0.5)), None]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("places", [5, 64, None])
def test_answers_are_those_of_the_batches(rule, places):
    """Fails if memory, age or state of one question reaches the next one in its slot."""
    made, questions = model(), batch(ROWS)
    whole = made.solve(questions, stopping=rule)
    found = list(made.stream(divided(questions, 16, 5, 30), places, stopping=rule))
    assert [len(asked.task) for asked, _ in found] == [16, 5, 30, 9]
    assert torch.equal(torch.cat([asked.inputs for asked, _ in found]), questions.inputs)
    answers = joined(found)
    assert torch.equal(answers.segments, whole.segments)
    assert torch.equal(answers.halted, whole.halted)
    torch.testing.assert_close(answers.logits, whole.logits, rtol=0, atol=1e-8)
    torch.testing.assert_close(answers.confidence, whole.confidence, rtol=0, atol=1e-8)


def test_numbers_and_policies_without_a_judge_are_answered_too():
    made = trm(ConvergenceHalting(tolerance=0.9), NUMBERS, max_segments=SEGMENTS).double()
    whole = made.solve(numbers(ROWS))
    answers = joined(list(made.stream(divided(numbers(ROWS), 16))))
    assert len(whole.segments.unique()) >= 3
    assert torch.equal(answers.segments, whole.segments)
    torch.testing.assert_close(answers.logits, whole.logits, rtol=0, atol=1e-8)


def test_a_single_batch_is_solved_bit_by_bit():
    made, questions = model().float(), batch(ROWS)
    (found,) = made.stream([questions], stopping=AsTrained())
    assert all(map(torch.equal, found[1], made.solve(questions, stopping=AsTrained())))


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(each), Tensor) for each in gc.get_objects())


@pytest.mark.parametrize("rule", [StableAnswer(), Both(StableAnswer(), AsTrained())], ids=str)
def test_ten_thousand_questions_in_order_at_constant_memory(rule):
    """Fails if a batch is asked for too early, or kept once it is given out."""
    made, questions, places = counting(), planted(10_000), 64
    made.halting.head.weight.data[0, 0], made.halting.head.bias.data[0] = 1.0, -3.0  # sure at a count of 4
    whole, batches = made.solve(questions, CAP, stopping=rule), divided(questions, 40)
    asked, given, held, live = 0, 0, [], {}

    def served():
        nonlocal asked
        for part in batches:
            asked += 1
            held.append(asked - given)
            yield part

    for asked_for, answers in made.stream(served(), places, CAP, stopping=rule):
        rows = slice(40 * given, 40 * given + 40)
        assert asked_for is batches[given]
        assert all(torch.equal(a, b[rows]) for a, b in zip(answers, whole, strict=True))
        given += 1
        if given in (50, 240):
            live[given] = live_tensors()
    assert given == 250
    assert len(whole.segments.unique()) >= 7
    assert max(held) <= places * CAP / 40 + 2
    assert live[240] <= live[50] + 4 * max(held)


def test_every_segment_is_full_until_the_stream_ends():
    made, questions, places = counting(), planted(500), 32
    sizes: list[int] = []
    made.decoder.register_forward_hook(lambda _, args, out: sizes.append(len(out)))
    found = joined(list(made.stream(divided(questions, 20), places, CAP, stopping=StableAnswer())))
    sizes = sizes[2:]  # the trial
    full = sizes.count(places)
    assert sizes[:full] == [places] * full
    assert len(sizes) - full <= CAP
    assert {*sizes} <= {2, 4, 8, 16, 32}
    assert all(later <= earlier for earlier, later in pairwise(sizes))
    assert sum(sizes) <= found.segments.sum() + places * CAP


def test_a_batch_is_asked_for_when_a_slot_wants_it():
    made, batches, served = counting(), divided(planted(80), 8), 0

    def counted():
        nonlocal served
        for part in batches:
            served += 1
            yield part

    answers = made.stream(counted(), 16, CAP)
    assert served == 0
    next(answers)
    assert served < len(batches)
    assert list(made.stream([], 16)) == []


class Waits(TorchDispatchMode):
    """Counts what an accelerator would be waited for: numbers read back, and shapes that depend on values."""

    KINDS = (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.masked_select)

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += operation.overloadpacket in self.KINDS
        return operation(*args, **(kwargs or {}))


def test_a_segment_waits_for_the_device_once(monkeypatch):
    """Fails if the line, a rule or the slots read more back than which rows are done."""
    made, reads, segments = counting(), 0, 0
    tolist = Tensor.tolist

    def read(self):
        nonlocal reads
        reads += 1
        return tolist(self)

    def count(*_):
        nonlocal segments
        segments += 1

    monkeypatch.setattr(Tensor, "tolist", read)
    monkeypatch.setattr("recurlight.recursion.slotted.check_batch", lambda *_: None)  # a CPU's alone
    made.decoder.register_forward_hook(count)
    with Waits() as watch:
        list(made.stream(divided(planted(60), 9), 8, CAP, stopping=Both(StableAnswer(), AsTrained())))
    assert watch.count == 0
    assert reads == segments - 2  # the trial's


def test_compiled_cells_see_few_shapes():
    """Fails if a slot that is empty changes the number of rows before the stream ends."""
    made, graphs = model(), CompileCounterWithBackend("eager")
    torch._dynamo.reset()
    compile_cells(made.refiner, graphs)
    list(made.stream(divided(batch(ROWS), 7), 16, stopping=AsTrained()))
    assert graphs.frame_count == 2  # of all slots, and of fewer at the end


@pytest.mark.parametrize("training", [True, False])
def test_parts_that_draw_are_refused(training):
    """What they draw belongs to a place in a batch, which a row in a stream does not have."""
    made = Recursion(SIZES, noisy(), LastCycles(1), CorrectnessHalting()).train(training)
    before = torch.get_rng_state()
    with pytest.raises(IncompatibleComponents, match=r"draws random numbers \(Noisy"):
        next(made.stream([batch(4)]))
    told = trm(feedback=Denoising().feedback())
    with pytest.raises(IncompatibleComponents, match=r"call Recursion\.solve for each batch"):
        next(told.stream([batch(4)]))
    assert torch.equal(before, torch.get_rng_state())
    assert not trm().draws(batch(4))


class Never(Stopping):
    def check(self, halting, sizes):
        raise IncompatibleComponents("it never stops")

    def look(self, seen, memory):
        return seen.age < 0, None


def test_misuse_is_refused_before_anything_is_answered():
    made = trm()
    for settings in ({"slots": 0}, {"max_segments": 0}, {"cycles": 0}):
        with pytest.raises(IncompatibleComponents, match=f"{next(iter(settings))}=0"):
            next(made.stream([batch(2)], **settings))
    with pytest.raises(IncompatibleComponents, match="never stops"):
        next(made.stream([batch(2)], stopping=Never()))
    with pytest.raises(IncompatibleComponents, match="has no rows"):
        list(made.stream([batch(2), slots.take(torch.tensor([], dtype=torch.int64), batch(2))]))
    fixed = list(trm(FixedHalting()).stream([batch(5), batch(3)]))
    assert joined(fixed).segments.tolist() == [4] * 8

"""Solving: all segments as published, or rows that leave when they are done."""

from __future__ import annotations

import pytest
import torch
from helpers import batch, opinionated, single, trm

from recurlight import slots
from recurlight.evaluation import Evaluation
from recurlight.halting import CorrectnessHalting, QLearningHalting
from recurlight.losses import StablemaxCrossEntropy
from recurlight.types import IGNORE, Prediction

ROWS, SEGMENTS = 11, 8


@pytest.fixture(params=[CorrectnessHalting, QLearningHalting])
def recursion(request):
    model = opinionated(trm(request.param()).double(), spread=0.5)
    model.halting.head.bias.data[0] = -1.0  # so that some rows need long, and some never stop
    return model


def stops(every):
    """Where each row should stop: its first halt, or the cap."""
    halts = torch.stack([prediction.halted for prediction in every])  # (segments, B)
    first = torch.where(halts.any(0), halts.int().argmax(0), len(every) - 1)
    return first, halts.any(0)


def test_rows_leave_with_the_answer_that_they_would_have_had(recursion):
    every = list(recursion.unroll(batch(ROWS), SEGMENTS))
    first, halts = stops(every)
    assert len(first.unique()) >= 3
    assert halts.any()
    adaptive = recursion.solve(batch(ROWS), SEGMENTS, adaptive=True)
    wanted = torch.stack([every[at].logits[row] for row, at in enumerate(first.tolist())])
    torch.testing.assert_close(adaptive.logits, wanted, rtol=0, atol=1e-7)
    assert adaptive.segments.tolist() == (first + 1).tolist()
    assert adaptive.halted.tolist() == halts.tolist()


def test_adaptive_segments_pass_by_one_by_one(recursion):
    every = list(recursion.unroll(batch(ROWS), SEGMENTS))
    first, _ = stops(every)
    for count, prediction in enumerate(recursion.unroll(batch(ROWS), SEGMENTS, adaptive=True)):
        at = first.clamp(max=count)
        assert prediction.segments.tolist() == (at + 1).tolist()
        wanted = torch.stack([every[k].logits[row] for row, k in enumerate(at.tolist())])
        torch.testing.assert_close(prediction.logits, wanted, rtol=0, atol=1e-7)


def test_rows_that_left_cost_nothing(recursion):
    first, _ = stops(list(recursion.unroll(batch(ROWS), SEGMENTS)))
    sizes = []
    recursion.decoder.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    recursion.solve(batch(ROWS), SEGMENTS, adaptive=True)
    left = [int((first >= count).sum()) for count in range(SEGMENTS)]
    assert sizes == [ROWS, *(min(slots.bucket(rows), ROWS) for rows in left[1:] if rows)]
    assert sizes[-1] < ROWS


def test_it_ends_when_no_row_is_left():
    recursion = trm()
    recursion.halting.head.bias.data.fill_(5.0)
    predictions = list(recursion.unroll(batch(3), SEGMENTS, adaptive=True))
    assert len(predictions) == 1
    assert predictions[0].segments.tolist() == [1, 1, 1]
    assert len(list(recursion.unroll(batch(3), SEGMENTS, adaptive=False))) == SEGMENTS


def test_all_rows_run_all_segments_as_published(recursion):
    prediction = recursion.solve(batch(ROWS), SEGMENTS, adaptive=False)
    assert prediction.segments.tolist() == [SEGMENTS] * ROWS
    carry = recursion.start(batch(ROWS))
    for _ in range(SEGMENTS):
        carry, segment, _ = recursion.segment(carry, batch(ROWS))
    torch.testing.assert_close(prediction.logits, segment.logits.detach(), rtol=0, atol=1e-12)


def test_the_model_s_own_cap_is_the_default():
    assert len(list(trm(max_segments=3).unroll(batch(2)))) == 3


def test_evaluation_may_run_other_cycles():
    recursion = single(cycles=3)
    assert torch.equal(recursion.solve(batch(2), 1, cycles=3).logits, recursion.solve(batch(2), 1).logits)
    twice = recursion.solve(batch(2), 1, cycles=6).logits
    torch.testing.assert_close(twice, recursion.solve(batch(2), 2, cycles=3).logits)
    assert not torch.equal(twice, recursion.solve(batch(2), 1).logits)


def test_no_gradient_is_recorded_and_training_goes_on():
    recursion = trm()
    assert not recursion.solve(batch(2), 2).logits.requires_grad
    assert torch.is_grad_enabled()


def predictions(rights, labels, segments):
    """Predictions of which the first `rights[k]` rows are right after `k + 1` segments."""
    for right in rights:
        answer = labels.clamp(min=0).clone()
        answer[right:] = (answer[right:] + 1) % 6
        rows = len(labels)
        spent = torch.full((rows,), segments, dtype=torch.int32)
        halted = torch.arange(rows) < right
        yield Prediction(torch.nn.functional.one_hot(answer, 6).float() * 9, spent, halted)


def test_figures_after_one_two_and_more_segments():
    labels = batch(4).labels.clone()
    labels[3] = IGNORE  # padding of a last batch
    evaluation = Evaluation(segments=5)
    evaluation.update(predictions([0, 1, 1, 2, 3], labels, 5), labels, StablemaxCrossEntropy())
    figures = {name: value.item() for name, value in evaluation.compute().items()}
    assert [figures[f"exact_at_{k}"] for k in (1, 2, 4, 5)] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert figures["exact_accuracy"] == 1
    assert figures["segments"] == 5
    assert figures["loss"] == pytest.approx(
        StablemaxCrossEntropy()(next(predictions([4], labels, 5)).logits, labels)[:3].mean().item()
    )
    assert evaluation.table().splitlines()[1].split() == ["segments", "1", "2", "4", "5"]


def test_where_predictions_end_early_the_last_one_stands():
    labels = batch(4).labels
    evaluation = Evaluation(segments=4)
    evaluation.update(predictions([1, 2], labels, 2), labels, StablemaxCrossEntropy())
    figures = evaluation.compute()
    assert [figures[f"exact_at_{k}"].item() for k in (1, 2, 4)] == [0.25, 0.5, 0.5]


def test_batches_add_up_and_reset_forgets_them():
    labels = batch(4).labels
    evaluation = Evaluation(segments=1)
    for right, rows in ((1, 4), (0, 1)):
        evaluation.update(predictions([right], labels[:rows], 1), labels[:rows], StablemaxCrossEntropy())
    assert evaluation.compute()["exact_at_1"].item() == pytest.approx(0.2)
    evaluation.reset()
    evaluation.update(predictions([4], labels, 1), labels, StablemaxCrossEntropy())
    assert evaluation.compute()["exact_accuracy"] == 1

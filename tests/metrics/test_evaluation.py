"""What validation measures after 1, 2, 4, ... segments."""

from __future__ import annotations

import pytest
import torch
from helpers import batch

from recurlight.losses import MeanSquaredError, StablemaxCrossEntropy
from recurlight.metrics import ExactByGroup
from recurlight.metrics.evaluation import Evaluation
from recurlight.metrics.task import TaskMetric
from recurlight.types import IGNORE, Batch, Prediction


def predictions(rights, labels, segments):
    """Predictions of which the first `rights[k]` rows are right after `k + 1` segments."""
    for right in rights:
        answer = labels.clamp(min=0).clone()
        answer[right:] = (answer[right:] + 1) % 6
        rows = len(labels)
        spent = torch.full((rows,), segments, dtype=torch.int32)
        halted = torch.arange(rows) < right
        confidence = halted.float() * 0.9
        yield Prediction(torch.nn.functional.one_hot(answer, 6).float() * 9, spent, halted, confidence)


def answered(labels):
    """The batch that has these labels."""
    return Batch(labels.clamp(min=0), labels, torch.zeros(len(labels), dtype=torch.int64))


class Seen(TaskMetric):
    """Remembers what it is shown."""

    def __init__(self):
        super().__init__()
        self.points, self.confident = [], 0.0

    def update(self, batch, prediction, segments):
        self.points.append((segments, len(batch.inputs)))
        self.confident = prediction.confidence.sum()

    def compute(self):
        return {"confident": self.confident}

    def table(self):
        return "seen"


class EveryPoint(Seen):
    every_point = True


def test_figures_after_one_two_and_more_segments():
    labels = batch(4).labels.clone()
    labels[3] = IGNORE  # padding of a last batch
    evaluation = Evaluation(segments=5)
    evaluation.update(predictions([0, 1, 1, 2, 3], labels, 5), answered(labels), StablemaxCrossEntropy())
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
    evaluation.update(predictions([1, 2], labels, 2), answered(labels), StablemaxCrossEntropy())
    figures = evaluation.compute()
    assert [figures[f"exact_at_{k}"].item() for k in (1, 2, 4)] == [0.25, 0.5, 0.5]


def test_batches_add_up_and_reset_forgets_them():
    labels = batch(4).labels
    evaluation = Evaluation(segments=1)
    for right, rows in ((1, 4), (0, 1)):
        evaluation.update(
            predictions([right], labels[:rows], 1), answered(labels[:rows]), StablemaxCrossEntropy()
        )
    assert evaluation.compute()["exact_at_1"].item() == pytest.approx(0.2)
    evaluation.reset()
    evaluation.update(predictions([4], labels, 1), answered(labels), StablemaxCrossEntropy())
    assert evaluation.compute()["exact_accuracy"] == 1


def test_a_tasks_metric_sees_the_end_or_every_point_and_adds_its_figures():
    labels = batch(4).labels
    for kind, points in ((Seen, [4]), (EveryPoint, [1, 2, 4])):
        evaluation = Evaluation(segments=4, task=kind())
        evaluation.update(predictions([1, 1, 2, 3], labels, 4), answered(labels), StablemaxCrossEntropy())
        assert evaluation.task.points == [(point, 4) for point in points]
        assert evaluation.compute()["confident"].item() == pytest.approx(3 * 0.9)
        assert evaluation.table().splitlines()[-1] == "seen"


def test_numbers_are_measured_by_their_errors_and_judged_by_the_loss():
    """Fails if fields are counted as tokens, or the groups of a task are judged by another rule."""
    labels = torch.ones(4, 3, 1)
    labels[3] = torch.nan  # padding of a last batch
    batch = Batch(labels.nan_to_num(), labels, torch.tensor([0, 1, 1, 0]))

    def found(error):
        spent = torch.full((4,), 2)
        scale = torch.tensor([error, error, 2 * error, 9.0])[:, None, None]
        return Prediction(labels * (1 + scale), spent, spent > 1, spent.float())

    groups = ExactByGroup("kind", ["a", "b"], lambda batch: batch.task)
    evaluation = Evaluation(segments=2, task=groups, numbers=True)
    evaluation.update(iter([found(0.4), found(0.08)]), batch, MeanSquaredError(0.1))
    figures = {name: round(value.item(), 4) for name, value in evaluation.compute().items()}
    assert figures == {
        "loss": pytest.approx(0.08**2 * (1 + 1 + 4) / 3, abs=1e-4),
        "mean_absolute_error": 0.1067,
        "exact_accuracy": 0.6667,
        "segments": 2,
        "halting_precision": 0.6667,
        "halting_recall": 1,
        "exact_at_1": 0,
        "exact_at_2": 0.6667,
        "error_at_1": 0.5333,
        "error_at_2": 0.1067,
        "kind_a/exact_at_1": 0,
        "kind_a/exact_at_2": 1,
        "kind_b/exact_at_1": 0,
        "kind_b/exact_at_2": 0.5,
    }
    assert list(figures) == evaluation.figures()
    assert [line.split() for line in evaluation.table().splitlines()[2:4]] == [
        ["exact", "0.0%", "66.7%"],
        ["error", "53.3%", "10.7%"],
    ]


def test_a_loss_of_tokens_may_call_other_answers_right():
    """Fails if exact accuracy is counted by one rule in the table and by another in the figures."""

    class Lenient(StablemaxCrossEntropy):
        def right(self, logits, labels):
            return (logits.argmax(-1) == labels).float().mean(1) > 0.5

    labels = batch(4).labels
    answer = labels.clone()
    answer[:3, 0] = (answer[:3, 0] + 1) % 6  # one token wrong
    answer[3] = (answer[3] + 1) % 6
    spent = torch.ones(4, dtype=torch.int32)
    logits = torch.nn.functional.one_hot(answer, 6).float()
    evaluation = Evaluation(segments=1)
    evaluation.update(iter([Prediction(logits, spent, spent > 0, spent / 1)]), answered(labels), Lenient())
    figures = evaluation.compute()
    assert figures["exact_at_1"] == figures["exact_accuracy"] == figures["halting_precision"] == 0.75

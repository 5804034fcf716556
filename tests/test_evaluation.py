"""What validation measures after 1, 2, 4, ... segments."""

from __future__ import annotations

import pytest
import torch
from helpers import batch

from recurlight.evaluation import Evaluation
from recurlight.losses import StablemaxCrossEntropy
from recurlight.types import IGNORE, Prediction


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

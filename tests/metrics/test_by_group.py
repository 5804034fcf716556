"""Exact accuracy by group and segments."""

from __future__ import annotations

import pytest
import torch

from recurlight.losses import StablemaxCrossEntropy
from recurlight.metrics.by_group import ExactByGroup
from recurlight.metrics.evaluation import Evaluation
from recurlight.types import IGNORE, Batch, Prediction


def made(names=("short", "long")):
    return ExactByGroup("size", names, lambda batch: batch.task)


def batch(groups):
    labels = torch.ones(len(groups), 3, dtype=torch.int64)
    return Batch(labels, labels.clone(), torch.tensor(groups))


def prediction(rights, spent=1):
    """Answers of which the given rows are right; the others are wrong in one cell."""
    answers = torch.ones(len(rights), 3, dtype=torch.int64)
    answers[~torch.tensor(rights), 2] = 0
    ones = torch.ones(len(rights))
    return Prediction(torch.nn.functional.one_hot(answers, 2).float(), ones.int() * spent, ones > 0, ones)


def figures(metric):
    return {name: round(value.item(), 4) for name, value in metric.compute().items()}


def test_counts_rows_by_group_at_each_point_over_batches():
    """Breaks when groups or points share a counter, or batches do not add up."""
    metric = made()
    for rights in ([True, False, False], [True, True, False]):
        metric.update(batch([0, 0, 1]), prediction(rights), 1)
    metric.update(batch([0, 0, 1]), prediction([True, True, True]), 4)
    assert figures(metric) == {
        "size_short/exact_at_1": 0.75,
        "size_short/exact_at_4": 1.0,
        "size_long/exact_at_1": 0.0,
        "size_long/exact_at_4": 1.0,
    }


def test_padding_rows_and_empty_groups_count_nowhere():
    """Breaks when a padding row counts as right in its group, or a group without rows divides by zero."""
    metric = made()
    padded = batch([0, 0])
    padded.labels[1] = IGNORE
    metric.update(padded, prediction([False, True]), 2)
    assert figures(metric) == {"size_short/exact_at_2": 0.0, "size_long/exact_at_2": 0.0}


def test_evaluation_shows_every_point_of_the_table_in_order():
    """Breaks when only the last segment is shown, or a last one that is no power of two is lost."""
    metric = made()
    evaluation = Evaluation(6, metric)
    stand = [[False] * 4, [True, False, False, False], [False] * 4, [True, True, False, False], [False] * 4]
    steps = [*(prediction(rights, 6) for rights in stand), prediction([True, True, True, False], 6)]
    evaluation.update(iter(steps), batch([0, 0, 1, 1]), StablemaxCrossEntropy())
    shown = evaluation.compute()
    assert [shown[f"size_short/exact_at_{k}"].item() for k in (1, 2, 4, 6)] == [0, 0.5, 1, 1]
    assert [shown[f"size_long/exact_at_{k}"].item() for k in (1, 2, 4, 6)] == [0, 0, 0, 0.5]
    assert evaluation.table().splitlines()[3:] == [
        "exact accuracy by size after segments",
        "size           1       2       4       6",
        "short       0.0%   50.0%  100.0%  100.0%",
        "long        0.0%    0.0%    0.0%   50.0%",
    ]
    evaluation.reset()
    evaluation.update(iter(steps), batch([0, 0, 0, 0]), StablemaxCrossEntropy())
    assert evaluation.compute()["size_short/exact_at_6"].item() == pytest.approx(0.75)


def test_states_are_summed_over_ranks():
    """Breaks when ranks are averaged, which would weigh their rows unequally."""
    metric = made()
    assert {metric._reductions[name].__name__ for name in ("counted", "rows")} == {"dim_zero_sum"}

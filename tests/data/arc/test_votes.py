"""Votes, pass@k and submissions, on a case computed by hand and on whole data sets."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

from data.arc.made import small
from recurlight.data import ArcData
from recurlight.data.arc.files import Pair, Task
from recurlight.data.arc.grid import draw, grid_sizes, move, symmetries
from recurlight.data.arc.ranking import pack, rank_candidates, solved
from recurlight.data.arc.votes import ArcVotes
from recurlight.types import IGNORE, Batch, Prediction

SIZE, VARIANTS, SEED = 3, 5, 0


def grid(*rows):
    return np.array(rows, dtype=np.int8)


ONE, TWO, THREE = grid([1]), grid([2, 0]), grid([3], [3])
TASKS = [
    Task("first", [], [Pair(grid([5]), ONE), Pair(grid([6, 6]), TWO)]),
    Task("second", [], [Pair(grid([7]), THREE)]),
]
FIRST = 3  # three tasks are trained on before these


def turned(tokens, identities):
    """Canvases `(n, C, C)` in the variants of their identities."""
    canvases = np.stack([draw(one, SIZE) for one in tokens])[:, None]
    return move(canvases, symmetries(SEED, identities, VARIANTS), grid_sizes(canvases))[:, 0]


def asked(votes):
    """A batch and its prediction from rows `(task, test, variant, predicted grid, confidence)`."""
    identity = np.array([(FIRST + task) * VARIANTS + variant for task, _, variant, *_ in votes])
    pairs = [TASKS[task].test[test] for task, test, *_ in votes]
    inputs, labels, tokens = (
        torch.from_numpy(turned(grids, identity).reshape(len(votes), -1).astype(np.int64))
        for grids in (
            [pair.question for pair in pairs],
            [pair.answer for pair in pairs],
            [v[3] for v in votes],
        )
    )
    logits = torch.nn.functional.one_hot(tokens, 12).float()
    confidence = torch.tensor([vote[4] for vote in votes])
    segments, halted = torch.ones(len(votes), dtype=torch.int32), torch.zeros(len(votes), dtype=torch.bool)
    batch = Batch(inputs, labels.where(labels > 0, IGNORE), torch.from_numpy(identity))
    return batch, Prediction(logits, segments, halted, confidence)


def votes_of(rows, **settings):
    metric = ArcVotes(TASKS, first=FIRST, variants=VARIANTS, canvas=SIZE, seed=SEED, **settings)
    for start in range(0, len(rows), 4):
        metric.update(*asked(rows[start : start + 4]), 1)
    return metric


ROWS = [
    (0, 0, 0, ONE, 0.1),  # the right answer has two votes against two, and the lower confidence
    (0, 0, 1, TWO, 0.3),
    (0, 0, 2, ONE, 0.1),
    (0, 0, 3, TWO, 0.2),
    (0, 1, 0, TWO, 0.0),  # all for the right answer
    (0, 1, 4, TWO, 0.0),
    (1, 0, 0, ONE, 0.9),  # the right answer is the third
    (1, 0, 1, ONE, 0.9),
    (1, 0, 2, TWO, 0.5),
    (1, 0, 3, THREE, 0.4),
]


def test_votes_count_before_confidence():
    """Fails if confidence weighs votes, or sums of it are compared in place of means."""
    ranked = votes_of(ROWS).standings()
    assert [one.grid for one in ranked[0][0]] == [pack(TWO), pack(ONE)]
    assert [one.votes for one in ranked[1][0]] == [2, 1, 1]
    assert [one.grid for one in ranked[1][0]] == [pack(ONE), pack(TWO), pack(THREE)]
    assert ranked[0][0][0].confidence == pytest.approx(0.25)


def test_pass_at_k_is_the_mean_over_tasks():
    """Fails if test pairs count alike whatever their task, or k is off by one."""
    figures = {name: value.item() for name, value in votes_of(ROWS).compute().items()}
    assert [*figures] == votes_of(ROWS).figures((1, 2))
    assert figures == {
        "pass_at_1": 0.25,  # half of the first task, none of the second
        "pass_at_2": 0.5,
        "pass_at_5": 1.0,
        "pass_at_10": 1.0,
        "pass_at_100": 1.0,
        "pass_at_1000": 1.0,
    }


def test_files(tmp_path):
    """Fails if attempts are in another order, a test pair is missing, or places are counted from 0."""
    text = votes_of(ROWS, folder=str(tmp_path / "report")).table()
    assert "attempts       1       2       5" in text
    assert "solved     25.0%   50.0%  100.0%" in text
    assert text.endswith(f"written: {tmp_path}/report/submission.json and {tmp_path}/report/tasks.csv")
    assert json.loads((tmp_path / "report/submission.json").read_text()) == {
        "first": [
            {"attempt_1": [[2, 0]], "attempt_2": [[1]]},
            {"attempt_1": [[2, 0]], "attempt_2": [[2, 0]]},
        ],
        "second": [{"attempt_1": [[1]], "attempt_2": [[2, 0]]}],
    }
    with (tmp_path / "report/tasks.csv").open() as file:
        lines = list(csv.reader(file))
    assert lines == [
        ["task", "test", "place", "candidates", "votes", "confidence"],
        ["first", "0", "2", "2", "2", "0.250000"],
        ["first", "1", "1", "1", "2", "0.000000"],
        ["second", "0", "3", "3", "2", "0.900000"],
    ]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    votes_of(ROWS).table()
    assert list(tmp_path.iterdir()) == []


def test_a_pair_without_an_answer_still_has_two_attempts():
    """Fails if an empty grid is a candidate, or a test pair without one is left out of a submission."""
    empty = grid([]).reshape(0, 1)
    metric = votes_of([(0, 1, 0, ONE, 0.5)])
    batch, prediction = asked([(1, 0, 0, ONE, 0.5)])
    nothing = prediction._replace(logits=torch.eye(12)[0].expand(1, SIZE * SIZE, 12))
    metric.update(batch, nothing, 1)
    assert metric.submission()["first"][0] == {"attempt_1": [[0]], "attempt_2": [[0]]}
    assert metric.submission()["second"] == [{"attempt_1": [[0]], "attempt_2": [[0]]}]
    assert rank_candidates([(pack(empty), 1.0)]) == []


def test_rows_of_padding_are_not_counted():
    """Fails if a row whose labels are all ignored votes once more."""
    metric = votes_of(ROWS)
    batch, prediction = asked([(0, 0, 4, ONE, 1.0)])
    ignored = batch._replace(labels=torch.full_like(batch.labels, IGNORE))
    for row in (ignored, ignored._replace(inputs=torch.zeros_like(batch.inputs))):
        metric.update(row, prediction, 1)
    assert metric.compute()["pass_at_1"] == 0.25


def test_the_order_of_votes_does_not_matter():
    """Fails if confidences are added one by one in float, or ties go to the first that came."""
    random = np.random.default_rng(0)
    votes = [(pack(grid([color])), confidence) for color in range(4) for confidence in random.random(9)]
    votes += [(pack(grid([9])), confidence) for _, confidence in votes[:9]]  # as many, as confident
    expected = rank_candidates(votes)
    for _ in range(20):
        assert rank_candidates([votes[place] for place in random.permutation(len(votes))]) == expected


def test_a_reset_forgets():
    metric = votes_of(ROWS)
    metric.compute()
    metric.reset()
    assert metric.places() == [[None, None], [None]]


def test_no_tasks_solve_nothing():
    assert solved([], 1) == 0


@pytest.mark.parametrize("oracle", [True, False])
def test_a_whole_set_by_an_oracle_and_by_nobody(tmp_path, oracle):
    """Fails if an augmentation is not undone, or a guess counts as an answer."""
    small(tmp_path)
    data = ArcData("json", path=str(tmp_path), augmentations=20, canvas=4, batch_size=16)
    metric = data.task_metric("val")
    for batch in data.test_dataloader():
        tokens = batch.labels.clamp(min=0) * oracle
        logits = torch.nn.functional.one_hot(tokens, 12).float()
        rows = len(tokens)
        metric.update(batch, Prediction(logits, torch.ones(rows), torch.ones(rows), torch.ones(rows)), 1)
    assert {value.item() for value in metric.compute().values()} == {float(oracle)}
    assert [one["attempt_1"] for one in metric.submission()["dd"]] == (
        [[[7, 0]], [[9, 2]]] if oracle else [[[0]]] * 2
    )

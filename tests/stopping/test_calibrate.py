"""Thresholds fitted to an allowed loss, against a search over all of them."""

from __future__ import annotations

import pytest
import torch

from recurlight.errors import IncompatibleComponents
from recurlight.stopping.calibrate import fit_threshold, holds, stopped


def replayed(confidence, right, threshold):
    """Row by row, as one would by hand."""
    segments, exact = [], []
    for sure, good in zip(confidence.T.tolist(), right.T.tolist(), strict=True):
        spent = next((age for age, one in enumerate(sure, 1) if one > threshold), len(sure))
        segments.append(spent)
        exact.append(good[spent - 1])
    return sum(exact) / len(exact), sum(segments) / len(segments)


def drawn(generator, rows):
    """Judges that grow surer, and are right as often as they say, but for the last segment: always right."""
    confidence = torch.rand(5, rows, generator=generator).sort(0).values
    right = torch.rand(5, rows, generator=generator) < confidence
    right[-1] = True
    return confidence, right


def test_the_curve_is_what_a_replay_row_by_row_gives():
    confidence, right = drawn(torch.Generator().manual_seed(3), 60)
    for point in fit_threshold(confidence, right, 0.3)[1]:
        assert point[1:3] == pytest.approx(replayed(confidence, right, point.threshold))
        assert point.lost == pytest.approx(60 * (1 - point.accuracy))


def test_what_is_chosen_loses_no_more_on_other_rows():
    """Fails if a threshold is fitted to the luck of the rows that it is chosen on."""
    generator, loss = torch.Generator().manual_seed(0), 0.1
    others = drawn(generator, 20_000)
    costs = []
    for _ in range(40):
        chosen, points = fit_threshold(*drawn(generator, 100), loss)
        costs.append(1 - stopped(*others, chosen.threshold).accuracy)
        assert chosen.segments < points[-1].segments  # it does save
    assert sum(cost > loss for cost in costs) <= 5  # 2 of 40 are to be expected at most


@pytest.mark.parametrize(("rows", "least"), [(298, False), (299, True)])
def test_the_bound_is_exact(rows, least):
    """Fails if the bound is another than 0.99^rows <= 5 % where nothing is lost."""
    assert holds(0, rows, 0.01) is least
    assert not holds(1, rows, 0.01)
    assert holds(0, 10**6, 0.01)
    assert not holds(10**4, 10**6, 0.01)


def test_few_rows_show_no_small_loss():
    right = torch.tensor([[True, False] * 25, [True] * 50])
    with pytest.raises(IncompatibleComponents, match=r"give --data.num_val 1497 or --loss 0.0582"):
        fit_threshold(torch.rand(2, 50), right, 0.002)
    fit_threshold(torch.rand(2, 50), right, 0.0582)


def test_a_threshold_that_nothing_is_above_runs_all_segments():
    confidence, right = torch.full((4, 3), 0.5), torch.tensor([[True] * 3, [False] * 3] * 2)
    assert stopped(confidence, right, 0.5)[1:] == (0.0, 4.0, 0)


@pytest.mark.parametrize(
    ("right", "message"),
    [
        (torch.zeros(2, 0, dtype=torch.bool), "there are no validation puzzles to calibrate on"),
        (torch.ones(2, 3, dtype=torch.bool), "all validation answers are right after every segment"),
        (torch.zeros(2, 3, dtype=torch.bool), "all validation answers are wrong after every segment"),
    ],
)
def test_what_tells_nothing_is_refused(right, message):
    with pytest.raises(IncompatibleComponents, match=message):
        fit_threshold(torch.rand(right.shape), right)


@pytest.mark.parametrize("loss", [-0.1, 0.0, 1.5])
def test_a_loss_is_a_share(loss):
    with pytest.raises(IncompatibleComponents, match="calibrate got loss="):
        fit_threshold(torch.rand(2, 3), torch.tensor([[True] * 3, [False] * 3]), loss)

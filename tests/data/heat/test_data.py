"""Problems of steady heat flow: what is asked, what is answered, and how they are drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recurlight.data import HeatData
from recurlight.data.split import fingerprints
from recurlight.errors import DataError

FEW = {"num_train": 60, "num_val": 20, "num_test": 30}


@pytest.fixture(scope="module")
def data():
    return HeatData(size=8, plates=5, **FEW)


def grids(puzzles):
    """Temperatures that are held, where, and the answers, `(n, 8, 8)` each."""
    question, answer = (part.reshape(len(part), 8, 8, -1) for part in (puzzles.inputs, puzzles.labels))
    return question[..., 0], question[..., 1] > 0, answer[..., 0]


def test_what_is_held_is_not_asked_and_every_other_cell_is_the_mean_of_its_neighbors(data):
    """Breaks when question and answer do not lie over each other, or held cells are supervised."""
    for part in data.splits:
        held_at, held, answer = grids(part)
        assert (np.isnan(answer) == held).all()
        assert not held_at[~held].any()
        found = np.where(held, held_at, answer).astype(np.float64)
        mean = (found[:, :-2, 1:-1] + found[:, 2:, 1:-1] + found[:, 1:-1, :-2] + found[:, 1:-1, 2:]) / 4
        inside = np.where(held, 0, found)[:, 1:-1, 1:-1]
        assert np.abs(np.where(held[:, 1:-1, 1:-1], 0, mean - inside)).max() < 1e-6


def test_the_rim_is_held_smooth_and_scaled_and_up_to_so_many_plates_inside(data):
    """Breaks when the waves do not close around the plate, or the number of plates is not drawn."""
    held_at, held, _ = grids(data.splits.train)
    rim = np.concatenate(
        [held_at[:, 0, :-1], held_at[:, :-1, -1], held_at[:, -1, :0:-1], held_at[:, :0:-1, 0]], axis=1
    )
    np.testing.assert_allclose(np.abs(rim).max(axis=1), 1, rtol=1e-6)
    spectrum = np.abs(np.fft.rfft(rim, axis=1))
    assert (spectrum[:, 4:] < 1e-4 * spectrum.max(axis=1, keepdims=True)).all()
    counts = held[:, 1:-1, 1:-1].sum(axis=(1, 2))
    assert set(counts) == set(range(6))
    inside = held_at[:, 1:-1, 1:-1][held[:, 1:-1, 1:-1]]
    assert (np.abs(inside) <= 1).all()
    assert inside.std() == pytest.approx(3**-0.5, abs=0.1)


def test_without_plates_the_rim_alone_is_held():
    _, held, _ = grids(HeatData(size=8, plates=0, **FEW).splits.train)
    assert not held[:, 1:-1, 1:-1].any()
    assert held.sum() == 60 * 28


def test_parts_share_no_problem_and_depend_on_the_seed_and_their_own_numbers_alone(data):
    marks = [set(fingerprints(part).tolist()) for part in data.splits]
    assert [len(part) for part in marks] == [60, 20, 30]
    assert not marks[2] & (marks[0] | marks[1])
    assert not marks[1] & marks[0]
    more = HeatData(size=8, plates=5, **(FEW | {"num_train": 90})).splits
    for part, same in zip(data.splits[1:], more[1:], strict=True):
        np.testing.assert_array_equal(part.inputs, same.inputs)
    np.testing.assert_array_equal(data.splits.train.inputs, more.train.inputs[:60])
    other = HeatData(size=8, plates=5, seed=1, **FEW).splits.test
    assert not marks[2] & set(fingerprints(other).tolist())


def test_problems_are_drawn_as_shades_and_dots(data):
    batch = next(iter(data.test_dataloader()))
    question = data.levels(batch.inputs)
    assert ((question == 0) == (batch.inputs[..., 1] == 0)).all()
    shown = data.shown(question, data.levels(batch.labels), ~batch.labels.isnan()[..., 0])
    assert (shown > 0).all()
    assert torch.equal(shown[question > 0], question[question > 0])
    lines = data.render(question[0].tolist()).splitlines()
    assert [len(line) for line in lines] == [15] * 8
    assert set("".join(lines)) <= set("123456789. ")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 2}, "size is 2: set data.size to 3 or more"),
        ({"size": 4, "plates": 4}, "plates is 4: set data.plates from 0 to 3"),
        ({"plates": -1}, "plates is -1: set data.plates from 0 to 99"),
        ({"num_val": -1}, "num_val is -1: set data.num_val to 0 or more"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(DataError, match=message):
        HeatData(**settings)

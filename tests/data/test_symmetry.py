"""Symmetries of every family: what they draw, that they keep answers right, and that they can be undone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from data.judges import TASKS
from recurlight.data import HeatData, ParityData, PuzzleData, Puzzles, Symmetry, hold_out
from recurlight.data.counter import counter_hash
from recurlight.data.symmetry import varied
from recurlight.errors import DataError
from recurlight.types import IGNORE, Batch

CHAINS = 30


@pytest.fixture(scope="module")
def tasks():
    """Each family with a batch of its training stream, some of it shifted, and of its test puzzles."""
    return {}


@pytest.fixture
def task(request, tasks):
    name = request.param
    if name not in tasks:
        build, judge = TASKS[name]
        data = build()
        parts = [next(iter(data.train_dataloader())), next(iter(data.test_dataloader()))]
        rows = [Batch(*(field[:40] for field in part)) for part in parts]
        tasks[name] = data, Batch(*map(torch.cat, zip(*rows, strict=True))), judge
    return tasks[name]


every_task = pytest.mark.parametrize("task", TASKS, indirect=True)


@every_task
def test_a_changed_question_has_the_changed_answer(task):
    """Fails if a draw is no symmetry, moves answers otherwise than questions, or lets cells off the task."""
    data, batch, judge = task
    for chain in range(CHAINS):
        symmetry = data.symmetries(batch, 3, chain)
        questions, answers = symmetry.apply(batch.inputs), symmetry.answer(batch.labels)
        assert all(map(judge, questions.tolist(), answers.tolist()))
        assert ((answers == IGNORE).sum(1) == (batch.labels == IGNORE).sum(1)).all()


@every_task
def test_undone_answers_are_those_of_the_question_as_it_was(task):
    """Fails if names or cells are put back in the wrong order; of labels, of any tokens and of logits."""
    data, batch, judge = task
    assert all(map(judge, batch.inputs.tolist(), batch.labels.tolist()))
    draw = torch.Generator().manual_seed(0)
    anything = torch.randint(data.vocab_size, batch.labels.shape, generator=draw)
    logits = torch.rand(*batch.labels.shape, data.vocab_size, generator=draw)
    for chain in range(CHAINS):
        symmetry = data.symmetries(batch, 3, chain)
        assert torch.equal(symmetry.undo(symmetry.answer(batch.labels)), batch.labels)
        assert torch.equal(symmetry.answer(symmetry.undo(anything)), anything)
        undone = symmetry.undo_logits(logits)
        assert torch.equal(undone.argmax(2), symmetry.undo(logits.argmax(2)))
        assert torch.equal(undone.argmin(2), symmetry.undo(logits.argmin(2)))


@every_task
def test_a_draw_depends_on_seed_chain_and_question_alone(task):
    """Fails if the place of a row or its neighbours matter, or two chains or seeds draw the same."""
    data, batch, _ = task
    some = torch.tensor([11, 3, 42])
    for chain in (0, 5):
        whole, again = (data.symmetries(batch, 3, chain) for _ in range(2))
        apart = data.symmetries(Batch(*(field[some] for field in batch)), 3, chain)
        for one, same, part in zip(whole, again, apart, strict=True):
            assert one is same is None or (torch.equal(one, same) and torch.equal(one[some], part))
    asked = [data.symmetries(batch, *draw).apply(batch.inputs) for draw in ((3, 0), (3, 1), (4, 0), (5, 1))]
    assert all(not torch.equal(a, b) for at, a in enumerate(asked) for b in asked[:at])


SIZES = {"maze": 8, "queens": 8, "addition": 2**7, "products in A4": 12}


@pytest.mark.parametrize("task", SIZES, indirect=True)
def test_all_symmetries_are_drawn_equally_often(task, request):
    """Fails if a draw is taken from bits that favor some of the group, or some are left out."""
    data, batch, _ = task
    size = SIZES[request.node.callspec.params["task"]]
    row = (batch.inputs != 0).sum(dim=1).argmax()
    longest = Batch(*(field[row : row + 1] for field in batch))
    drawn = [data.symmetries(longest, 0, chain) for chain in range(20 * size)]
    rows = [torch.cat([symmetry.cells, symmetry.labels], dim=1) for symmetry in drawn]
    found, counts = torch.cat(rows).unique(dim=0, return_counts=True)
    assert len(found) == size
    assert abs(((counts - 20.0) ** 2 / 20.0).sum() - size) < 5 * math.sqrt(2 * size)


@pytest.mark.parametrize("task", ["sudoku 4"], indirect=True)
def test_sudoku_of_size_4_is_asked_in_all_its_guises(task):
    """288 solutions are the images of 2 classes under 3,072 symmetries: all of a class must be met."""
    data, batch, _ = task
    solutions = set()
    for chain in range(120):
        symmetry = data.symmetries(batch, 0, chain)
        solutions |= {tuple(answer) for answer in symmetry.answer(batch.labels).tolist()}
    assert len(solutions) == 288


@pytest.mark.parametrize("task", ["sudoku 4", "sudoku 9", "sudoku 4 of 9 digits", "maze"], indirect=True)
def test_augmentation_draws_from_the_same_function(task):
    """Fails if training varies puzzles by other symmetries than search asks them in."""
    data, _, _ = task
    keys = counter_hash(0, 1, np.arange(40))
    puzzles = data.splits.train
    one, other = data.augmentation()(puzzles, keys), varied(puzzles, keys, group=data.symmetry_group())
    assert all((a == b).all() and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("task", ["sudoku 6"], indirect=True)
def test_symmetries_are_there_without_augmentation(task):
    data, batch, _ = task
    assert data.augmentation() is None
    assert not torch.equal(data.symmetries(batch, 0, 0).apply(batch.inputs), batch.inputs)


class Odd(PuzzleData):
    """Data whose group can be given."""

    def __init__(self, group=None):
        super().__init__(vocab_size=5, grid_shape=(1, 3), batch_size=8, seed=0)
        self.group = group

    def load(self):
        grids = np.random.default_rng(0).integers(1, 5, (40, 3))
        return hold_out(Puzzles(grids, grids, np.zeros(40)), num_val=4, num_test=4, seed=0)

    def symmetry_group(self):
        return self.group


def asked(data):
    return data.symmetries(next(iter(data.test_dataloader())), 0, 0)


@pytest.mark.parametrize("data", [Odd(), ParityData(num_train=10, num_val=4, num_test=4)])
def test_data_without_symmetries_say_what_to_type(data):
    name = type(data).__name__
    with pytest.raises(
        DataError, match=rf"^{name} knows no symmetries .* --search\.noise .* 'symmetry_group'$"
    ):
        asked(data)


CELLS, NAMES = np.tile([2, 0, 1], (4, 1)), np.array([0, 2, 1, 3, 4])
UNDOABLE = {
    "cells twice": (np.tile([2, 2, 1], (4, 1)), NAMES, r"cells\[0\] is \[2, 2, 1\]"),
    "names twice": (CELLS, np.array([0, 1, 1, 3, 4]), r"inputs\[0\] is \[0, 1, 1, 3, 4\]"),
    "too few names": (CELLS, np.arange(4), r"inputs is \(4, 4\) torch.int64: return \(4, 5\) int64"),
    "too few cells": (CELLS[:, :2], NAMES, r"cells is \(4, 2\) torch.int64: return \(4, 3\) int64"),
}


@pytest.mark.parametrize("name", UNDOABLE)
def test_what_cannot_be_undone_is_refused(name):
    """Fails if answers would silently be brought back wrong."""
    cells, names, said = UNDOABLE[name]
    with pytest.raises(DataError, match=rf"^Odd\.symmetry_group: {said}"):
        asked(Odd(lambda questions, keys: Symmetry.of(cells, names)))


def test_numbers_are_not_renamed():
    data = HeatData(size=5, plates=2, num_train=4, num_val=4, num_test=4)
    data.symmetry_group = lambda: None
    with pytest.raises(DataError, match="HeatData knows no symmetries"):
        asked(data)
    data.symmetry_group = lambda: pytest.fail
    with pytest.raises(DataError, match=r"HeatData\.symmetry_group renames tokens, and these puzzles have"):
        asked(data)

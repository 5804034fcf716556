from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from data.sudoku.naive import peers
from recurlight.data.puzzles import Puzzles
from recurlight.data.sudoku.augment import augment
from recurlight.data.sudoku.make import make_puzzles
from recurlight.data.sudoku.rules import invariant, solved

SIZES = [4, 6, 9, 16]
KEYS = np.arange(200, dtype=np.uint64)


@pytest.fixture(scope="module")
def variants():
    """For each size one puzzle and 200 augmentations of it."""

    def make(size):
        questions, answers = make_puzzles(size, 0, range(1), cores=1)
        original = Puzzles(questions, answers, np.zeros(1, dtype=np.uint8))
        many = original.rows(np.zeros(len(KEYS), dtype=np.int64))
        return original, augment(many, KEYS, size=size)

    return {size: make(size) for size in SIZES}


@pytest.mark.parametrize("size", SIZES)
def test_augmented_solutions_are_valid_and_keep_their_clues(variants, size):
    original, many = variants[size]
    near = [sorted(peers(cell, size)) for cell in range(size * size)]
    for question, answer in zip(many.inputs[:40], many.labels[:40], strict=True):
        assert set(answer.tolist()) == set(range(2, size + 2))
        assert not any((answer[near[cell]] == answer[cell]).any() for cell in range(size * size))
        assert (question == np.where(question == 1, 1, answer)).all()
        assert (question != 1).sum() == (original.inputs[0] != 1).sum()


@pytest.mark.parametrize("size", SIZES)
def test_the_invariant_survives_every_augmentation(variants, size):
    original, many = variants[size]
    assert (invariant(many.inputs, size) == invariant(original.inputs, size)).all()


@pytest.mark.parametrize("size", SIZES)
def test_augmentation_uses_the_whole_group(variants, size):
    """Clue masks differ by moves, digits by relabeling, and only square boxes are transposed."""
    _, many = variants[size]
    assert len(np.unique(many.inputs, axis=0)) > 150
    for cell in (0, size * size // 2):
        assert len(np.unique(many.labels[:, cell])) == size
    moved = _moves(size)
    rows = moved.reshape(-1, size, size) // size
    rows_stay_rows = rows == rows[:, :, :1]
    share = rows_stay_rows.all(axis=(1, 2)).mean()
    assert share == 1.0 if size == 6 else 0.35 < share < 0.65
    assert len(np.unique(moved[:, 0])) > 0.4 * min(size * size, len(KEYS))


def _moves(size):
    """Where each cell of the augmented grid came from, `(keys, cells)`, read off one-cell marks."""
    marks = np.full((size * size, size * size), 1, dtype=np.uint8)
    np.fill_diagonal(marks, 2)
    moved = np.zeros((len(KEYS), size * size), dtype=np.int64)
    for source in range(size * size):
        grids = marks[source : source + 1].repeat(len(KEYS), axis=0)
        puzzles = Puzzles(grids, grids, np.zeros(len(KEYS), dtype=np.uint8))
        moved[augment(puzzles, KEYS, size=size).inputs != 1] = source
    return moved


@pytest.mark.parametrize("size", [6, 9])
def test_the_invariant_separates_random_puzzles(size):
    questions, _ = make_puzzles(size, 11, range(60), cores=1)
    assert len(np.unique(invariant(questions, size))) == 60


def test_the_invariant_sees_one_moved_clue():
    questions, _ = make_puzzles(9, 0, range(1), cores=1)
    clues, blanks = np.flatnonzero(questions[0] != 1), np.flatnonzero(questions[0] == 1)
    changed = questions.repeat(20, axis=0)
    for row, (clue, blank) in enumerate(zip(clues[:20], blanks[:20], strict=True)):
        changed[row, blank], changed[row, clue] = changed[row, clue], 1
    assert (invariant(changed, 9) != invariant(questions, 9)).all()


def test_rows_do_not_see_each_other():
    questions, answers = make_puzzles(9, 0, range(6), cores=1)
    puzzles = Puzzles(questions, answers, np.zeros(6, dtype=np.uint8))
    vary = partial(augment, size=9)
    some = np.array([4, 1])
    together, apart = vary(puzzles, KEYS[:6]).rows(some), vary(puzzles.rows(some), KEYS[some])
    assert all((one == two).all() for one, two in zip(together, apart, strict=True))


def test_solved_refuses_what_only_looks_solved():
    latin = np.array([[(row + column) % 4 + 2 for row in range(4) for column in range(4)]])
    _, answers = make_puzzles(4, 0, range(1), cores=1)
    blank, pad, beyond = answers.copy(), answers.copy(), answers.copy()
    blank[0, 3], pad[0, 3], beyond[0, 3] = 1, 0, 6
    assert solved(answers, 4).all()
    assert not any(solved(wrong, 4).any() for wrong in (latin, blank, pad, beyond))


def test_a_larger_vocabulary_is_used_where_the_clues_show_every_digit():
    """Fails if digits beyond the size stay untrained, or a digit that no clue shows becomes unknowable."""
    questions, answers = make_puzzles(4, 0, range(40), cores=1)
    shown = np.array([len(np.unique(question)) == 5 for question in questions])
    assert 0 < shown.sum() < 40
    many = Puzzles(questions, answers, np.zeros(40, dtype=np.uint8)).rows(np.arange(40).repeat(50))
    keys = np.arange(2000, dtype=np.uint64)
    drawn = augment(many, keys, size=4, digits=9)
    kept = drawn.labels[~shown.repeat(50)]
    assert set(np.unique(kept)) == {2, 3, 4, 5}
    assert set(np.unique(drawn.labels[shown.repeat(50)])) == set(range(2, 11))
    assert all(len(set(answer)) == 4 for answer in drawn.labels.tolist())
    assert ((drawn.inputs == 1) | (drawn.inputs == drawn.labels)).all()
    assert (augment(many, keys, size=4, digits=4).labels == augment(many, keys, size=4).labels).all()

from __future__ import annotations

import numpy as np
import pytest

from data.sudoku.naive import naive_solutions
from recurlight.data.sudoku.generate import make_puzzle
from recurlight.data.sudoku.make import generated, make_puzzles
from recurlight.data.sudoku.rules import contradicted, invariant, solved
from recurlight.errors import DataError


@pytest.mark.parametrize(("size", "count"), [(4, 12), (6, 6), (9, 3)])
def test_puzzles_have_one_solution_and_no_clue_to_spare(size, count):
    questions, answers = make_puzzles(size, seed=3, indices=range(count), cores=1)
    for question, answer in zip(questions.tolist(), answers.tolist(), strict=True):
        assert naive_solutions(question, size, limit=2) == [answer]
        for cell in np.flatnonzero(np.array(question) != 1):
            fewer = [*question[:cell], 1, *question[cell + 1 :]]
            assert len(naive_solutions(fewer, size, limit=2)) == 2


def test_large_puzzles_are_solved_by_their_answer():
    questions, answers = make_puzzles(16, seed=0, indices=range(2), cores=1)
    assert solved(answers, 16).all()
    assert not contradicted(questions, answers).any()
    assert ((questions == 1).mean(axis=1) > 0.4).all()


def test_a_puzzle_depends_on_seed_and_index_alone():
    assert make_puzzle(6, 0, 5) == make_puzzle(6, 0, 5)
    assert len({make_puzzle(6, seed, index) for seed in range(3) for index in range(3)}) == 9


def test_processes_make_the_same_puzzles_as_one():
    alone = make_puzzles(6, seed=1, indices=range(4, 45), cores=1)
    together = make_puzzles(6, seed=1, indices=range(4, 45), cores=3)
    assert all((one == many).all() for one, many in zip(alone, together, strict=True))


def test_splits_share_no_puzzle_up_to_symmetry():
    splits = generated(6, 0, (150, 30, 30))
    classes = np.concatenate([invariant(split.inputs, 6) for split in splits])
    assert [len(split.inputs) for split in splits] == [150, 30, 30]
    assert len(np.unique(classes)) == 210


def test_small_size_repeats_no_puzzle():
    splits = generated(4, 0, (300, 50, 50))
    questions = np.concatenate([split.inputs for split in splits])
    assert len(np.unique(questions, axis=0)) == 400


def test_the_cache_is_used(own_cache, monkeypatch):
    first = generated(4, 7, (40, 4, 4))

    def refuse(*_args, **_kwargs):
        raise AssertionError("made again")

    monkeypatch.setattr("recurlight.data.sudoku.make.make_puzzles", refuse)
    again = generated(4, 7, (40, 4, 4))
    assert (first.train.inputs == again.train.inputs).all()
    with pytest.raises(AssertionError, match="made again"):
        generated(4, 8, (40, 4, 4))
    assert not list(own_cache.glob("*.part"))


def test_too_few_puzzles_are_reported(monkeypatch):
    same = make_puzzles(4, 0, range(1), cores=1)
    repeated = lambda size, seed, indices: tuple(np.repeat(part, len(indices), axis=0) for part in same)  # noqa: E731
    monkeypatch.setattr("recurlight.data.sudoku.make.make_puzzles", repeated)
    with pytest.raises(DataError, match=r"only 1 different puzzles of size 4 .* lower data\.num_train"):
        generated(4, 99, (20, 0, 0))

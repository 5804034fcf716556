"""Generated Sudoku for any seed, against a solver and a canonical form of the tests' own."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data.sudoku.naive import naive_solutions, peers
from recurlight.data.puzzles import Puzzles
from recurlight.data.sudoku.augment import augment
from recurlight.data.sudoku.make import generated, make_puzzles

SEEDS = st.integers(-(2**31), 2**63 - 1)


@given(seed=SEEDS, index=st.integers(0, 10**6), size=st.sampled_from([4, 6]))
@settings(max_examples=12)
def test_any_puzzle_is_valid_and_has_exactly_its_solution(seed, index, size):
    """Fails if the uniqueness check of a removed clue is skipped."""
    questions, answers = make_puzzles(size, seed, range(index, index + 1), cores=1)
    answer = answers[0].tolist()
    assert all(answer[cell] != answer[other] for cell in range(size**2) for other in peers(cell, size))
    assert naive_solutions(questions[0].tolist(), size, limit=2) == [answer]


def orders(groups: int, each: int) -> np.ndarray:
    """Every order of lines that keeps the lines of a group together."""
    inner = list(permutations(range(each)))
    found = [
        [group * each + line for group, order in zip(outer, within, strict=True) for line in order]
        for outer in permutations(range(groups))
        for within in product(inner, repeat=groups)
    ]
    return np.array(found)


def canonical(question: np.ndarray) -> bytes:
    """The smallest writing of a 6x6 puzzle under all moves of rows and columns, digits named as they come."""
    rows, columns = orders(3, 2), orders(2, 3)
    grids = question.reshape(6, 6)[rows[:, None, :, None], columns[None, :, None, :]].reshape(-1, 36)
    first = np.stack([np.where((grids == d).any(1), (grids == d).argmax(1), 99) for d in range(2, 8)])
    names = first.argsort(0, kind="stable").argsort(0, kind="stable") + 2
    renamed = np.where(grids == 1, 1, np.take_along_axis(names.T, np.maximum(grids.astype(int) - 2, 0), 1))
    return min(map(bytes, renamed.astype(np.uint8)))


def test_the_canonical_form_sees_through_every_symmetry():
    """Fails if `canonical` misses a move: the next test would then prove nothing."""
    questions, answers = make_puzzles(6, 1, range(2), cores=1)
    one = Puzzles(questions[:1], answers[:1], np.zeros(1)).rows(np.zeros(6, dtype=int))
    many = augment(one, np.arange(6, dtype=np.uint64), size=6)
    assert len({canonical(question) for question in many.inputs}) == 1
    assert canonical(questions[0]) == canonical(many.inputs[0]) != canonical(questions[1])


def test_no_two_puzzles_of_the_splits_are_the_same_up_to_symmetry(monkeypatch):
    """Fails if puzzles are only compared literally: augmentation would then train on test puzzles."""

    def with_variants(size, seed, indices):
        """Every puzzle twice, the second time turned and renamed."""
        questions, answers = make_puzzles(
            size, seed, range(indices.start // 2, indices.stop // 2 + 1), cores=1
        )
        turned = augment(
            Puzzles(questions, answers, answers[:, 0]), np.arange(len(answers), dtype=np.uint64), size=6
        )
        both = [np.concatenate(pair) for pair in ((questions, turned.inputs), (answers, turned.labels))]
        return tuple(part[: len(indices)] for part in both)

    monkeypatch.setattr("recurlight.data.sudoku.make.make_puzzles", with_variants)
    splits = generated(6, 77, (40, 10, 10))
    assert [len(split.inputs) for split in splits] == [40, 10, 10]
    assert len({canonical(question) for split in splits for question in split.inputs}) == 60

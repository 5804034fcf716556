"""Holding puzzles out of data that come in one piece."""

from __future__ import annotations

import numpy as np
import pytest

from recurlight.data import Puzzles, hold_out
from recurlight.data.split import fingerprints
from recurlight.errors import DataError


def puzzles(questions, task=None):
    rows = np.array(questions)[:, None]
    return Puzzles(rows, rows, np.zeros(len(rows)) if task is None else np.array(task))


def values(part):
    return part.inputs[:, 0].tolist()


def test_every_row_is_in_one_part_and_equal_questions_stay_together():
    """Breaks when rows are dealt one by one: the second copy of a question would give its answer away."""
    questions = [*range(40), *range(0, 40, 2)]
    train, val, test = map(values, hold_out(puzzles(questions), num_val=9, num_test=12, seed=0))
    assert sorted(train + val + test) == sorted(questions)
    assert (len(val), len(test)) == (9, 12)
    assert set(train).isdisjoint(val + test)
    assert set(val).isdisjoint(test)


def test_the_test_part_depends_on_the_seed_alone():
    """Breaks when more validation rows or another order of rows change the test rows."""
    questions = list(range(50))
    test = sorted(values(hold_out(puzzles(questions), num_val=1, num_test=10, seed=1).test))
    other = hold_out(puzzles(questions[::-1]), num_val=20, num_test=10, seed=1)
    assert sorted(values(other.test)) == test
    assert sorted(values(hold_out(puzzles(questions), num_val=1, num_test=10, seed=2).test)) != test
    assert test != questions[:10]


def test_the_same_question_in_another_task_is_another_question():
    """Breaks when the task is left out of the comparison."""
    marks = fingerprints(puzzles([5, 5, 5], task=[0, 1, 0]))
    assert marks[0] == marks[2] != marks[1]
    marks = fingerprints(puzzles([3, 4]))
    assert marks[0] != marks[1]


def test_questions_in_another_order_of_cells_differ():
    """Breaks when cells are only summed."""
    rows = np.array([[1, 2, 0], [2, 1, 0], [0, 1, 2], [1, 2, 0]])
    assert len(set(fingerprints(Puzzles(rows, rows, np.zeros(4))).tolist())) == 3


@pytest.mark.parametrize(
    ("questions", "counts"), [([1, 1, 1, 1], (1, 0)), ([1, 2], (1, 1)), ([1, 2, 3], (0, 3)), ([], (0, 0))]
)
def test_a_part_that_would_be_empty_is_refused(questions, counts):
    """Breaks when an evaluation silently has no puzzles, or training none."""
    with pytest.raises(
        DataError, match=r"cannot be divided into training, num_val=. and num_test=.: set data"
    ):
        hold_out(puzzles(questions), num_val=counts[0], num_test=counts[1], seed=0)

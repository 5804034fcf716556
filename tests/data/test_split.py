"""Holding puzzles out of data that come in one piece."""

from __future__ import annotations

import numpy as np
import pytest

from recurlight.data import Puzzles, hold_out
from recurlight.data.split import Deck, fingerprints
from recurlight.errors import DataError


def puzzles(questions, task=None):
    rows = np.array(questions)[:, None]
    return Puzzles(rows, rows, np.zeros(len(rows)) if task is None else np.array(task))


def values(part):
    return part.inputs[:, 0].tolist()


def deck(values, **settings):
    """Puzzles whose only cell has these values in turn, without end."""
    return Deck(
        lambda numbers: puzzles([values[n % len(values)] for n in numbers] or np.zeros(0, int)), **settings
    )


def test_a_deck_deals_what_no_part_before_has():
    """Breaks when a part takes what another has, or gets its own puzzles twice without being asked to."""
    three = deck([1, 2, 2, 1, 3, 4, 5, 3])
    assert values(three.deal(2)) == [1, 2]
    assert values(three.deal(0)) == []
    assert values(three.deal(5, once=False)) == [3, 4, 5, 3, 3]
    assert values(three.deal(1, once=False)) == []


def test_a_deck_goes_on_after_what_was_made_at_once():
    """Breaks when the surplus of a part is dealt to the next one: every seed would give other puzzles."""
    numbers = deck(range(100), least=10)
    assert values(numbers.deal(3)) == [0, 1, 2]
    assert values(numbers.deal(12)) == [*range(10, 22)]
    assert values(numbers.deal(1)) == [22]


def test_a_deck_with_an_end_deals_each_number_once():
    """Breaks when it goes on behind its last number, or forgets what others have."""
    few = deck(range(100), total=6, taken=fingerprints(puzzles([2, 4])))
    assert values(few.deal(2)) == [0, 1]
    assert values(few.deal(9)) == [3, 5]


def test_puzzles_are_the_same_by_the_identity_that_is_given():
    """Breaks when only literal repeats are left out."""
    assert values(deck(range(9), identity=lambda made: made.inputs[:, 0].astype(np.uint64) // 2).deal(3)) == [
        0,
        2,
        4,
    ]


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

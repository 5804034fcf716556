"""Every generated answer against brute force that shares nothing with the generator."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from recurlight.data import AdditionData, ParityData, PermutationData, QueensData, ReversalData, SortingData
from recurlight.types import IGNORE

COUNTS = {"num_train": 60, "num_val": 10, "num_test": 10}
LENGTHS = {"length": 7, "min_length": 5, "eval_lengths": [5, 9]}


def pairs(data):
    """Yield questions and answers as lists of rows, without padding, None for unsupervised cells."""
    for part in data.splits:
        for question, answer in zip(part.inputs, part.labels, strict=True):
            grid = question.reshape(data.grid_shape)
            rows, columns = (grid != 0).any(axis=1).sum(), (grid != 0).any(axis=0).sum()
            assert (grid[:rows, :columns] != 0).all()
            assert (grid != 0).sum() == rows * columns
            answer = answer.reshape(data.grid_shape)
            beyond = answer.copy()
            beyond[:rows, :columns] = IGNORE
            assert (beyond == IGNORE).all()
            cells = answer[:rows, :columns].tolist()
            yield (
                grid[:rows, :columns].tolist(),
                [[None if cell == IGNORE else cell for cell in row] for row in cells],
            )


def test_sorting():
    """Breaks when an answer is not the ascending question, such as sorted with its padding, or as text."""
    found = list(pairs(SortingData(values=12, **LENGTHS, **COUNTS)))
    assert len(found) == 100
    assert all(answer == [sorted(question[0])] for question, answer in found)
    assert {cell for question, _ in found for cell in question[0]} == set(range(1, 13))


def test_reversal():
    """Breaks when padding is turned round together with a shorter question."""
    assert all(answer == [question[0][::-1]] for question, answer in pairs(ReversalData(**LENGTHS, **COUNTS)))


def test_parity_of_every_prefix():
    """Breaks when only the whole is answered, when a bit is left out, or when odd and even change places."""
    for question, answer in pairs(ParityData(**LENGTHS, **COUNTS)):
        ones = 0
        for bit, told in zip(question[0], answer[0], strict=True):
            ones += bit == 2
            assert told == 1 + ones % 2


def sign(permutation):
    """Sign by the determinant of the permutation's matrix."""
    return round(np.linalg.det(np.eye(len(permutation))[list(permutation)]))


@pytest.mark.parametrize("group", ["S3", "S4", "S5", "A4", "A5"])
def test_products_of_permutations_move_things_one_after_another(group):
    """Breaks when factors are multiplied from the other side, or an element has another token."""
    size = int(group[1])
    members = [p for p in permutations(range(size)) if group[0] == "S" or sign(p) == 1]
    data = PermutationData(group, **LENGTHS, **COUNTS)
    assert data.vocab_size == len(members) + 1
    for question, answer in pairs(data):
        things = list(range(size))  # where each thing is now
        for token, told in zip(question[0], answer[0], strict=True):
            things = [members[token - 1][place] for place in things]
            assert members[told - 1] == tuple(things)


@pytest.mark.parametrize("moves", [1, 2, 9])
def test_few_elements_of_a_question_are_not_the_identity(moves):
    """Breaks when there are more, or always at the same places."""
    asked = PermutationData("S3", moves, length=6, num_train=300, num_val=0, num_test=0).splits.train.inputs
    moved = asked > 1
    assert moved.sum(axis=1).max() == min(moves, 6)
    assert moved.any(axis=0).all()
    assert {*asked[moved]} == {2, 3, 4, 5, 6}


def test_a_permutation_is_drawn_as_the_places_that_things_go_to():
    """Breaks when rendering shows inverses or counts from zero."""
    data = PermutationData("S3", length=3)
    assert data.render([1, 4, 0]).split() == ["123", "231", "."]


def number(cells):
    """Read digits, units first, token 2 being zero."""
    return sum((cell - 2) * 10**place for place, cell in enumerate(cells))


def test_addition():
    """Breaks when a carry is lost, at the last column too, or when more than the sum is supervised."""
    carries = 0
    for question, answer in pairs(AdditionData(**LENGTHS, **COUNTS)):
        first, second, third = question
        assert first[-1] == second[-1] == 1
        assert set(third) == {1}
        assert answer[:2] == [[None] * len(first)] * 2
        assert number(answer[2]) == number(first[:-1]) + number(second[:-1])
        carries += answer[2][-1] == 3
    assert carries > 20


def test_a_sum_is_drawn_as_on_paper():
    """Breaks when a rendered number has its units at the left."""
    data = AdditionData(length=2, eval_lengths=[3])
    text = data.render([11, 2, 1, 0, 3, 5, 1, 0, 1, 1, 1, 0])
    assert text.split("\n") == [". _ 0 9", ". _ 3 1", ". _ _ _"]


def completions(board):
    """Every way to fill a board of tokens up, row by row, with queens that do not attack each other."""
    size = len(board)

    def place(row, queens):
        if row == size:
            yield queens
            return
        shown = [column for column in range(size) if board[row][column] == 2]
        for column in shown or range(size):
            if all(column != c and abs(column - c) != row - r for r, c in enumerate(queens)):
                yield from place(row + 1, [*queens, column])

    return list(place(0, []))


def test_queens_have_one_completion_and_it_is_the_answer():
    """Breaks when a question has two answers or none, or shows all queens or a wrong one."""
    lengths = {"length": 6, "min_length": 6, "eval_lengths": [7, 8]}
    found = list(pairs(QueensData(**lengths, num_train=20, num_val=10, num_test=10)))
    assert len(found) == 60
    for question, answer in found:
        queens = completions(question)
        assert len(queens) == 1
        assert answer == [
            [2 if column == queen else 1 for column in range(len(answer))] for queen in queens[0]
        ]
        shown = sum(row.count(2) for row in question)
        assert 1 <= shown < len(question)


def test_the_last_queen_shown_is_needed():
    """Breaks when more queens are shown than it takes, which would make the puzzles easy."""
    for question, _ in pairs(QueensData(length=6, num_train=20, num_val=0, num_test=0)):
        shown = [(row, column) for row in range(6) for column in range(6) if question[row][column] == 2]
        fewer = [
            [[1 if (r, c) == cell else v for c, v in enumerate(line)] for r, line in enumerate(question)]
            for cell in shown
        ]
        assert any(len(completions(board)) > 1 for board in fewer)

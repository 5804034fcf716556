"""Rules against the same rules told one by one, on right answers, planted faults and whatever comes."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch

from data.judges import RULED, TASKS
from data.sudoku.naive import naive_solutions
from recurlight.data import PuzzleData, Rules, SudokuData
from recurlight.data.sequences.queens import QueensRules, boards
from recurlight.data.sudoku.rules import SudokuRules

VARIANTS = 12


@pytest.fixture(scope="module", params=RULED)
def task(request):
    """Rules, questions with right answers, some of them turned and renamed, and who judges them."""
    build, judge = TASKS[request.param]
    data = build()
    batch = next(iter(data.train_dataloader()))
    batch = batch._replace(inputs=batch.inputs[:60], labels=batch.labels[:60], task=batch.task[:60])
    drawn = [data.symmetries(batch, 0, chain) for chain in range(VARIANTS)]
    questions = torch.cat([batch.inputs, *(symmetry.apply(batch.inputs) for symmetry in drawn)])
    labels = torch.cat([batch.labels, *(symmetry.answer(batch.labels) for symmetry in drawn)])
    return data, questions, labels, judge


def noted(labels, draw, vocab):
    """Labels with anything where nothing is asked."""
    return torch.where(labels < 0, torch.randint(vocab, labels.shape, generator=draw), labels)


def test_right_answers_hold_whatever_stands_where_nothing_is_asked(task):
    """Fails if a clause is too strict, or looks at cells that are not supervised."""
    data, questions, labels, judge = task
    draw = torch.Generator().manual_seed(0)
    for _ in range(3):
        answers = noted(labels, draw, data.vocab_size)
        assert data.rules().holds(questions, answers).all()
        assert all(map(judge, questions.tolist(), answers.tolist()))


def faults(questions, answers, counted, draw, vocab):
    """Answers with one fault: another token, two cells exchanged, turned round, the answer to another."""
    rows = torch.arange(len(answers))
    one, other = torch.multinomial(counted.float(), 2, generator=draw).T
    changed, swapped = answers.clone(), answers.clone()
    changed[rows, one] = torch.randint(-1, vocab + 60, one.shape, generator=draw)
    swapped[rows, one], swapped[rows, other] = answers[rows, other], answers[rows, one]
    yield from (changed, swapped, answers.flip(1), answers.roll(1, dims=0))
    # Of a question in which the fault stands as well, so that it contradicts nothing that was given.
    yield torch.where(questions == answers, changed, answers)
    yield from (questions, torch.zeros_like(answers), torch.ones_like(answers))
    some = torch.randint(vocab, answers.shape, generator=draw)
    yield torch.where(torch.rand(answers.shape, generator=draw) < 0.05, some, answers)


def test_rules_agree_with_those_told_one_by_one(task):
    """Fails if a clause is missing or wrong: most of these answers are wrong, by one thing each."""
    data, questions, labels, judge = task
    draw = torch.Generator().manual_seed(1)
    rules, held = data.rules(), 0
    for _ in range(2):
        answers = noted(labels, draw, data.vocab_size)
        for wrong in faults(questions, answers, labels >= 0, draw, data.vocab_size):
            expected = torch.tensor([*map(judge, questions.tolist(), wrong.tolist())])
            assert torch.equal(rules.holds(questions, wrong), expected)
            held += int(expected.sum())
    assert held < 0.3 * 18 * len(questions)


def test_rows_are_judged_each_by_itself(task):
    """Fails if a vocabulary, a length or the number of rows is read off the batch."""
    data, questions, labels, _ = task
    draw = torch.Generator().manual_seed(2)
    answers = noted(labels, draw, data.vocab_size)
    answers[::2] = answers[::2].roll(1, dims=1)
    whole, rules = data.rules().holds(questions, answers), data.rules()
    some = torch.tensor([5, 2, 40])
    assert torch.equal(rules.holds(questions[some], answers[some]), whole[some])
    assert rules.holds(questions[:0], answers[:0]).shape == (0,)
    assert whole.dtype == torch.bool
    padding = torch.zeros_like(questions[:1])
    mixed = rules.holds(torch.cat([padding, questions[:9]]), torch.cat([padding, answers[:9]]))
    assert torch.equal(mixed[1:], whole[:9])


def test_every_solution_of_a_sudoku_with_several_holds():
    """Fails if an answer key is asked for: all 288 grids solve the empty one, and some those of two clues."""
    answers = torch.tensor(naive_solutions([1] * 16, 4, limit=1000))
    assert len(answers) == 288
    empty = torch.ones_like(answers)
    assert SudokuRules(4).holds(empty, answers).all()
    lines = list(permutations(range(2, 6)))
    grids = permutations(lines, 4)
    latin = [sum(rows, ()) for rows in grids if all(len({*line}) == 4 for line in zip(*rows, strict=True))]
    assert len(latin) == 576
    held = SudokuRules(4).holds(torch.ones(576, 16, dtype=torch.int64), torch.tensor(latin))
    assert {grid for grid, right in zip(latin, held, strict=True) if right} == {*map(tuple, answers.tolist())}
    clues = empty.clone()
    clues[:, 0], clues[:, 5] = 2, 3
    fitting = (answers[:, 0] == 2) & (answers[:, 5] == 3)
    assert 1 < fitting.sum() < 288
    assert torch.equal(SudokuRules(4).holds(clues, answers), fitting)


def test_of_all_ways_to_place_six_queens_those_without_an_attack_complete_an_empty_board():
    """Fails if diagonals of one direction only are looked at."""
    ways = [*permutations(range(6))]
    answers = torch.nn.functional.one_hot(torch.tensor(ways), 6).flatten(1) + 1
    held = QueensRules().holds(torch.ones_like(answers), answers)
    assert sorted(way for way, right in zip(ways, held, strict=True) if right) == [
        *map(tuple, boards(6).tolist())
    ]


def test_data_say_nothing_of_rules_unless_they_know_some():
    class Unruled(SudokuData):
        def rules(self):
            return PuzzleData.rules(self)

    assert Unruled(4).rules() is None
    assert isinstance(SudokuData(4).rules(), Rules)

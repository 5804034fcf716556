from __future__ import annotations

import pytest
import torch

from data.sudoku.naive import peers
from recurlight.data import SudokuData
from recurlight.data.sudoku.generate import BOXES, SYMBOLS, count_guesses, make_puzzle
from recurlight.errors import DataError
from recurlight.types import Prediction


def solved_by_singles(question: str, size: int) -> bool:
    """Whether placing digits that are alone in a cell or a unit solves the puzzle, by sets of candidates."""
    digits = SYMBOLS[1 : size + 1]
    cells = range(size * size)
    height, width = BOXES[size]
    units = [[c for c in cells if c // size == u] for u in range(size)]
    units += [[c for c in cells if c % size == u] for u in range(size)]
    boxes = {(c // size // height, c % size // width) for c in cells}
    units += [[c for c in cells if (c // size // height, c % size // width) == box] for box in boxes]
    near = [peers(cell, size) for cell in cells]
    grid = list(question)
    while True:
        can = {c: set(digits) - {grid[o] for o in near[c]} for c in cells if grid[c] == "."}
        placed = {c: next(iter(left)) for c, left in can.items() if len(left) == 1}
        for unit in units:
            for digit in digits:
                places = [c for c in unit if digit in can.get(c, ())]
                if len(places) == 1:
                    placed[places[0]] = digit
        if not placed:
            return "." not in grid
        for cell, digit in placed.items():
            grid[cell] = digit


@pytest.mark.parametrize(("size", "count"), [(6, 60), (9, 60)])
def test_no_guess_is_needed_where_singles_are_enough(size, count):
    puzzles = [make_puzzle(size, 1, index)[0] for index in range(count)]
    without = [count_guesses(size, puzzle) == 0 for puzzle in puzzles]
    assert without == [solved_by_singles(puzzle, size) for puzzle in puzzles]
    assert size == 6 or len(set(without)) == 2


def test_a_puzzle_made_to_resist_solvers_takes_many_guesses():
    hard = "........1..1..2....3..4..5...26..7...5..8..4.6..7.......8..5.9..9....3..3...9...4"
    assert count_guesses(9, hard) > 20


def test_accuracy_is_told_apart_by_guesses():
    data = SudokuData(size=9, num_train=0, num_val=40, num_test=40, eval_batch_size=40, grades=True)
    batch = next(iter(data.test_dataloader()))
    questions = ["".join(SYMBOLS[token - 1] for token in row) for row in batch.inputs.tolist()]
    guesses = [count_guesses(9, question) for question in questions]
    easy = torch.tensor([count == 0 for count in guesses])
    logits = torch.nn.functional.one_hot(batch.labels, data.vocab_size).float()
    logits[~easy] = 0.0
    metric = data.task_metric("test")
    spent = torch.ones_like(batch.task)
    metric.update(batch, Prediction(logits, spent, spent > 0, spent.float()), 16)
    assert 0 < easy.sum() < 40
    assert metric.rows[:, 4].tolist() == [
        sum(low <= count <= high for count in guesses) for low, high in ((0, 0), (1, 2), (3, 5), (6, 10**9))
    ]
    assert {name: value.item() for name, value in metric.compute().items()} == {
        "guesses_0/exact_at_16": 1.0,
        "guesses_1-2/exact_at_16": 0.0,
        "guesses_3-5/exact_at_16": 0.0,
        "guesses_6+/exact_at_16": 0.0,
    }


def test_grades_are_off_unless_asked_for_and_refused_where_they_take_hours():
    assert SudokuData(size=4, num_train=0, num_val=0, num_test=0).task_metric("val") is None
    with pytest.raises(DataError, match=r"set data\.grades to false"):
        SudokuData(size=16, grades=True)

"""Columns of numbers, from CSV and JSON lines."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recurlight.data import TableData
from recurlight.errors import DataError
from recurlight.spec import arguments

BOTH = {"question": 1, "answer": 1}
NAN = np.nan


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(*rows):
    return "\n".join(json.dumps(dict(zip(("question", "answer"), row, strict=False))) for row in rows) + "\n"


def csv(*rows):
    return "question,answer\n" + "".join(f'"{question}","{answer}"\n' for question, answer in rows)


def whole(data):
    """The cells of the training file."""
    return data.parts["train"].inputs, data.parts["train"].labels


def test_several_numbers_in_a_field_are_a_row_of_cells(here):
    """Breaks when numbers are looked up as symbols, rounded to integers, or rows need JSON."""
    (here / "mine.csv").write_text(
        csv(("0.5 1.25 -3", "1e-3 0 2"), ("[1, 2, 3]", "[4.5, null, 6]"), ("0 0 1", "1 1 1"))
    )
    data = TableData("mine.csv", numbers=BOTH, num_val=0, num_test=1)
    assert (data.vocab_size, data.features, data.targets, data.grid_shape) == (0, 1, 1, (1, 3))
    inputs, labels = whole(data)
    np.testing.assert_array_equal(inputs[:2, :, 0], [[0.5, 1.25, -3], [1, 2, 3]])
    np.testing.assert_array_equal(labels[:2, :, 0], np.array([[1e-3, 0, 2], [4.5, NAN, 6]], np.float32))
    assert inputs.dtype == labels.dtype == np.float32
    assert [len(part.inputs) for part in data.splits] == [2, 0, 1]


def test_grids_of_cells_with_several_numbers(here):
    """Breaks when cells and rows are taken for each other, or smaller answers are refused."""
    rows = [
        ([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], [[0.5], [1.5]]),
        ([[[0, 0], [0, 1]], [[1, 0], [1, 1]]], [[1, 2]]),
    ]
    (here / "train.jsonl").write_text(lines(*rows))
    data = TableData(".", numbers={"question": 2, "answer": 1}, num_val=0, num_test=0)
    inputs, labels = whole(data)
    assert data.grid_shape == (2, 2)
    np.testing.assert_array_equal(inputs[0], [[1, 2], [3, 4], [5, 6], [7, 8]])
    np.testing.assert_array_equal(labels[:, :, 0], [[0.5, NAN, 1.5, NAN], [1, 2, NAN, NAN]])


def test_a_row_of_cells_with_several_numbers(here):
    (here / "mine.jsonl").write_text(
        lines(([[1, 2], [3, 4]], [[5, 6], [7, None]]), ([[0, 1], [2, 3]], [[1, 1], [1, 1]]))
    )
    data = TableData("mine.jsonl", numbers={"question": 2, "answer": 2}, num_val=0, num_test=0)
    assert data.grid_shape == (1, 2)
    np.testing.assert_array_equal(whole(data)[1][0], [[5, 6], [7, NAN]])


def test_texts_may_be_asked_and_numbers_answered_and_the_other_way_round(here):
    """Breaks when one column decides for both, or the padding of a short text is supervised."""
    (here / "one.csv").write_text("question,answer\nab,0.5 1\nb,2\n")
    data = TableData("one.csv", numbers={"answer": 1}, num_val=0, num_test=0)
    assert (data.vocab_size, data.features, data.targets) == (3, 0, 1)
    assert whole(data)[0].tolist() == [[1, 2], [2, 0]]
    np.testing.assert_array_equal(whole(data)[1][:, :, 0], [[0.5, 1], [2, NAN]])
    (here / "two.csv").write_text("question,answer\n0.5 1,ab\n2 1,b\n")
    data = TableData("two.csv", numbers={"question": 1}, num_val=0, num_test=0)
    assert (data.vocab_size, data.features, data.targets) == (3, 1, 0)
    assert whole(data)[1].tolist() == [[1, 2], [2, 0]]


def test_questions_alone_are_predicted_by_what_a_checkpoint_knows(here):
    """Breaks when the size of an answer, or of the grid, has to be read from an answer."""
    (here / "train.csv").write_text(csv(("1 2", "2 3"), ("2 2", "4 4"), ("0 1", "1 1")))
    trained = TableData("train.csv", numbers=BOTH)
    assert arguments(trained)["grid_shape"] == (1, 2)
    (here / "new.csv").write_text("question\n5 6\n")
    data = TableData(**(arguments(trained) | {"path": "new.csv"}))
    assert data.splits.test.labels.shape == (1, 2, 1)
    assert np.isnan(data.splits.test.labels).all()
    assert data.splits.test.inputs[0, :, 0].tolist() == [5, 6]


def test_equal_questions_are_not_divided_and_not_shared(here):
    (here / "train.csv").write_text(csv(("1 2", "2 3"), ("2 2", "4 4")))
    (here / "test.csv").write_text(csv(("1.0 2.0", "9 9")))
    with pytest.raises(DataError, match=r"the question is also in train\.csv, row 2"):
        TableData(".", numbers=BOTH, num_val=0)


GOOD = ([1, 2], [3, 4])
REFUSED = {
    "text": (
        (["a", 2], [3, 4]),
        BOTH,
        "row 2: the question is no grid of numbers: give a list of numbers, or",
    ),
    "ragged": (([[1, 2], [3]], [3, 4]), BOTH, "row 2: the question is no grid of numbers: give a list of"),
    "word": (("a b", [3, 4]), BOTH, "row 2: the question is no grid of numbers"),
    "empty": (([], [3, 4]), BOTH, "row 2: the question has the shape (0,): give a list of numbers"),
    "cells": (
        ([[[1]], [[2]]], [3, 4]),
        BOTH,
        "row 2: the question has the shape (2, 1, 1): give a list of numb",
    ),
    "fewer": (
        ([[1, 2]], [3, 4]),
        {"question": 3, "answer": 1},
        "row 1: the question has the shape (2,): give a list of lists of 3 numbers, or a list of such rows",
    ),
    "null": (([1, None], [3, 4]), BOTH, "row 2: the question has a number that is not finite, or none: give"),
    "infinite": (
        ([1, 2], [3, 1e999]),
        BOTH,
        "row 2: the answer has a number that is not finite: give numbers",
    ),
    "beyond float32": (([1, 2], [3, 1e39]), BOTH, "row 2: the answer has a number that is not finite"),
    "short": (
        ([1], [3, 4]),
        BOTH,
        "row 2: the question has 1 x 1 cells of numbers, the grid 1 x 2: numbers have no",
    ),
    "long": (([5, 2], [3, 4, 5]), BOTH, "row 2: the answer has 1 x 3 cells of numbers, the grid 1 x 2"),
    "column": (
        GOOD,
        {"label": 1},
        "numbers names the column 'label': set data.numbers for question, answer or",
    ),
    "count": (GOOD, {"question": 0}, "numbers has 0 for question: set data.numbers.question to 1 or more"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_named_with_its_row(here, case):
    row, numbers, message = REFUSED[case]
    (here / "mine.jsonl").write_text(lines(GOOD, row))
    with pytest.raises(DataError) as caught:
        TableData("mine.jsonl", numbers=numbers, num_val=0, num_test=0)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_alphabet_without_symbols_is_refused(here):
    (here / "mine.jsonl").write_text(lines(GOOD))
    with pytest.raises(DataError, match=r"leave data\.alphabet away"):
        TableData("mine.jsonl", numbers=BOTH, alphabet="ab")

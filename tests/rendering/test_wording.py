"""Texts to tokens and back, for every task that is written in texts."""

from __future__ import annotations

import json

import pytest
import torch

from recurlight import (
    AdditionData,
    ArcData,
    DataError,
    HeatData,
    Looks,
    MazeData,
    PermutationData,
    QueensData,
    SortingData,
    SudokuData,
    TableData,
    Wording,
)
from recurlight.checkpoints.trust import Trust
from recurlight.spec import from_spec, to_spec

FEW = {"num_train": 3, "num_val": 1, "num_test": 2}
SUDOKU = Wording((2, 3), (" ", ".", "1", "2"), boxes=(1, 3), also={"0": 1}, unasked=(0,))
WORDS = Wording((1, 4), (".", "3", "12"), padded=True)


def table(tmp_path, rows, name="own.jsonl"):
    (tmp_path / name).write_text(
        "".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in rows), encoding="utf-8"
    )
    return TableData(str(tmp_path / name), num_val=1, num_test=1)


MADE = {
    "sudoku": lambda path: SudokuData(size=4, **FEW),
    "digits": lambda path: SudokuData(size=4, digits=6, **FEW),
    "maze": lambda path: MazeData(size=6, **FEW),
    "sorting": lambda path: SortingData(length=5, eval_lengths=[3, 7], **FEW),
    "words": lambda path: SortingData(values=12, length=5, eval_lengths=[3, 7], **FEW),
    "addition": lambda path: AdditionData(length=3, eval_lengths=[2, 4], **FEW),
    "queens": lambda path: QueensData(length=5, **FEW),
    "group": lambda path: PermutationData("S3", length=4, **FEW),
    "texts": lambda path: table(path, [("ab c", "c"), ("b", "b"), ("abc", "cba"), ("c", "c")]),
    "grids": lambda path: table(path, [([[1, 20], [3, 4]], [[1]]), ([[1, 3]], [[3]]), ([[20], [4]], [[1]])]),
}


@pytest.mark.parametrize("name", MADE)
def test_every_question_is_read_as_it_is_written_and_drawn_as_its_data_draw_it(name, tmp_path):
    """Breaks when a task's symbols, padding or direction is forgotten, or a checkpoint does not hold them."""
    data = MADE[name](tmp_path)
    wording = from_spec(to_spec(data.wording()), Trust())
    assert wording == data.wording()
    for question in [*data.splits.train.inputs, *data.splits.test.inputs]:
        tokens = question.tolist()
        assert wording.read(wording.write(tokens)) == tokens
        assert wording.picture(tokens) == data.render(tokens)
        assert wording.read(data.render(tokens)) == tokens
        assert all(token < data.vocab_size for token in wording.known.values())


@pytest.mark.parametrize("name", ["sudoku", "maze", "sorting", "addition", "queens"])
def test_rules_are_found_again_by_a_path_that_outlives_their_files(name, tmp_path):
    """Breaks when a checkpoint names the module in which rules happen to lie."""
    rules = MADE[name](tmp_path).rules()
    spec = to_spec(rules)
    assert spec["class_path"] == f"recurlight.data.{type(rules).__name__}"
    assert type(from_spec(spec, Trust())) is type(rules)


def test_what_is_no_single_grid_of_tokens_has_no_wording():
    assert HeatData(size=4, **FEW).wording() is None
    assert ArcData(canvas=3, max_tasks=1).wording() is None


@pytest.mark.parametrize(
    "text",
    ["12.001", "12. 001", "12.\n001", "1 2 .\n. . 1", "1 2 .\n-----\n. 0 1\n", "[[1, 2, 0], [0, 0, 1]]"],
)
def test_a_grid_is_read_however_it_is_written(text):
    assert SUDOKU.read(text) == [2, 3, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("wording", "text", "message"),
    [
        (SUDOKU, "12.0x1", "the question has the character 'x' at place 5; known are '.120'"),
        (SUDOKU, "12.00", "the question has 5 symbols: give 6, 2 rows of 3"),
        (SUDOKU, "12.0\n01", "the question has 6 symbols in 2 lines: give 6, 2 rows of 3"),
        (SUDOKU, "", "the question has 0 symbols: give 6, 2 rows of 3"),
        (SUDOKU, "[[1, 2", "the question is no JSON list: close its brackets or give a text"),
        (SUDOKU, "[[1, 2], 3]", "the question mixes symbols and rows of them: give a list of rows"),
        (WORDS, "3 13", "the question has the word '13' at place 2; known are . 3 12"),
        (WORDS, "3 3 3 3 3", "the question has 1 x 5 symbols: give at most 4"),
        (WORDS, " . ", "the question is empty: give at most 4"),
        (
            Wording((2, 2), (".", "a"), padded=True),
            "a\naa",
            "the question has lines of different lengths: .*",
        ),
        (
            Wording((1, 3), ("?", "#", "S"), unasked=(0,), once=(2,)),
            "SS#",
            "the question has 'S' 2 times: .*",
        ),
        (
            Wording((1, 2), ("?", "#"), unasked=(0,)),
            "?#",
            "the question has the character '\\?' at place 1.*",
        ),
    ],
)
def test_a_wrong_question_is_one_line(wording, text, message):
    with pytest.raises(DataError, match=f"^{message}$"):
        wording.read(text)


def test_texts_that_two_tokens_share_are_not_read_as_one_of_them():
    """Fails silently otherwise: another question than the one that was asked is answered."""
    with pytest.raises(DataError, match="tokens 1 and 2 are both written 'a'"):
        Wording((1, 2), (".", "a", "a")).read("aa")
    assert Wording((1, 2), (".", "a", "a"), unasked=(2,)).read("aa") == [1, 1]


def test_tokens_without_a_text_are_written_as_numbers():
    wording = Wording.of(Looks((1, 3), texts=".a"), vocab=4)
    assert wording.write([1, 3, 2]) == "a32"
    assert wording.read("a32") == [1, 3, 2]


def test_blanks_are_symbols_where_the_task_says_so():
    wording = Wording((2, 3), ("?", "#", " "), gap="", unasked=(0,))
    assert wording.read("# #\n  #\n") == [1, 2, 1, 2, 2, 1]
    assert wording.write([1, 2, 1, 2, 2, 1]) == "# #  #"


def test_an_answer_ends_where_it_says_or_is_as_large_as_its_question():
    question, answer = torch.tensor([[3, 2, 0, 0]]), torch.tensor([[1, 0, 2, 2]])
    shown = {"ends": [1, 0, 0, 0], "padded": [1, 0, 0, 0]}
    for fact, expected in shown.items():
        wording = Wording((1, 4), tuple(".abc"), **{"padded": True, fact: True})
        assert wording.answer(question, answer).tolist() == [expected]
    assert Wording((1, 4), tuple(".abc")).answer(question, answer).tolist() == answer.tolist()
    assert Wording((1, 4), tuple(".abc"), padded=True).answer(question, answer + 1).tolist() == [[2, 1, 0, 0]]
    assert Wording((2, 2), tuple(".abc"), rows=(1,)).answer(question, answer).tolist() == [[3, 2, 2, 2]]

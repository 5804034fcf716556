from __future__ import annotations

import torch

from recurlight.callbacks.predictions import records
from recurlight.data import MazeData, SudokuData
from recurlight.rendering.samples import Sample, samples, side_by_side, titles
from recurlight.types import IGNORE, Batch, Prediction

ANSWER = [2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2]
QUESTION = [1] * 15 + [2]


PADDING = [0] * 16, [IGNORE] * 16


def batch(labels: list[list[int]], question: list[int] = QUESTION) -> Batch:
    rows = torch.tensor(labels)
    return Batch(torch.tensor([question] * len(rows)), rows, torch.zeros(len(rows), dtype=torch.int64))


def joined(*parts: Batch) -> Batch:
    return Batch(*map(torch.cat, zip(*parts, strict=True)))


def predicted(tokens: list[list[int]]) -> Prediction:
    logits = torch.nn.functional.one_hot(torch.tensor(tokens), 6).float()
    count = torch.ones(len(tokens), dtype=torch.int32)
    return Prediction(logits, count, count > 0, count.float())


def test_padding_rows_are_left_out_and_the_rest_keeps_its_order():
    """Fails if padding is shown, or `count` counts it."""
    rows = joined(batch([PADDING[1]], PADDING[0]), batch([ANSWER, [5, *ANSWER[1:]], ANSWER]))
    found = samples(rows, predicted([ANSWER] * 4), 2)
    assert [sample.answer for sample in found] == [ANSWER, [5, *ANSWER[1:]]]
    assert [any(sample.wrong) for sample in found] == [False, True]


def test_what_is_not_supervised_is_neither_right_nor_wrong():
    """Fails if the prediction is shown, or counted, where nobody asked for one."""
    (sample,) = samples(batch([[IGNORE, *ANSWER[1:]]]), predicted([[5] * 16]), 1)
    assert sample.answer[0] == sample.prediction[0] == QUESTION[0]
    assert sample.wrong == [False, *(token != 5 for token in ANSWER[1:])]


def test_a_question_without_a_known_answer_is_shown_with_its_prediction_alone():
    """Fails if it is taken for padding, or its prediction is called right or wrong."""
    (sample,) = samples(batch([[IGNORE] * 16]), predicted([ANSWER]), 4)
    assert sample == Sample(QUESTION, ANSWER, [], [False] * 16)
    assert titles(sample) == ("question", "prediction", "answer not known")
    lines = side_by_side(SudokuData(size=4), sample).splitlines()
    assert lines[1].split("   ") == [". . | . .", "1 2 | 3 4"]
    assert "x" not in "".join(lines[1:])


def test_records_tell_unknown_answers_from_wrong_ones_and_leave_padding_out():
    """Fails if a row without an answer is dropped or judged, or padding is written."""
    rows = joined(batch([[IGNORE] * 16, ANSWER]), batch([PADDING[1]], PADDING[0]))
    unknown, known = records(rows, predicted([ANSWER] * 3), SudokuData(size=4))
    assert unknown == {
        "question": QUESTION,
        "prediction": ANSWER,
        "answer": None,
        "segments": 1,
        "exact": None,
    }
    assert (known["answer"], known["exact"]) == (ANSWER, True)


def test_wrong_cells_are_marked_in_the_prediction_alone():
    """Fails if a right cell is marked, a wrong one is not, or question or answer are changed."""
    wrong = [*ANSWER[:5], 2, *ANSWER[6:]]
    sample = Sample(QUESTION, wrong, ANSWER, [place == 5 for place in range(16)])
    lines = side_by_side(SudokuData(size=4), sample).splitlines()
    columns = [line.split("   ") for line in lines[1:]]
    assert [column[0] for column in columns] == SudokuData(size=4).render(QUESTION).splitlines()
    assert " ".join(lines[2].split()) == ". . | . . 3 x | 1 2 3 4 | 1 2"
    assert "".join(lines[1:]).count("x") == 1
    assert titles(sample)[1] == "prediction, 1 wrong"
    assert titles(sample._replace(wrong=[False] * 16))[1] == "prediction, right"


def test_color_shows_what_was_predicted():
    """Fails if red covers more than the wrong digit, or shifts the answer's column."""
    sample = Sample(QUESTION, [3, *ANSWER[1:]], ANSWER, [True] + [False] * 15)
    colored = side_by_side(SudokuData(size=4), sample, color=True)
    plain = side_by_side(SudokuData(size=4), sample)
    assert "\x1b[1;31m2\x1b[0m 2 | 3 4" in colored
    assert colored.replace("\x1b[1;31m2\x1b[0m", "x") == plain


def test_a_gap_in_a_path_is_seen_in_color_too():
    """Fails if a space is made red."""
    question, answer = [3, 2, 4, *[1] * 33], [3, 5, 4, *[1] * 33]
    text = side_by_side(
        MazeData(size=6), Sample(question, question, answer, [False, True] + [False] * 34), color=True
    )
    assert "SxG###" in text

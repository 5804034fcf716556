"""Own questions and answers from files."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import torch

from recurlight.callbacks.predictions import records
from recurlight.data import TableData
from recurlight.errors import DataError
from recurlight.losses import exactly_right
from recurlight.rendering.samples import samples
from recurlight.spec import arguments
from recurlight.types import IGNORE, Batch, Prediction

WORDS = "question,answer\nab,ba\nabc,cba\nb,b\nca,ac\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(*rows):
    return "\n".join(map(json.dumps, rows)) + "\n"


def pair(question, answer, **more):
    return {"question": question, "answer": answer, **more}


def shown(data, part):
    """Questions and answers of a part as text."""
    puzzles = getattr(data.splits, part)
    return [(data.render(q), data.render(a)) for q, a in zip(puzzles.inputs, puzzles.labels, strict=True)]


def test_characters_become_tokens_in_sorted_order_of_the_training_file(here):
    """Breaks when tokens follow the order of appearance, collide with the pad, or include the test file's."""
    (here / "train.csv").write_text(WORDS)
    (here / "val.csv").write_text("question,answer\ncb,bc\n")
    (here / "test.csv").write_text("question,answer\nac,ca\n")
    data = TableData(".")
    assert (data.vocab_size, data.grid_shape, data.seq_len, data.num_tasks) == (4, (1, 3), 3, 1)
    train, val, test = data.splits
    assert train.inputs.tolist() == [[1, 2, 0], [1, 2, 3], [2, 0, 0], [3, 1, 0]]
    assert train.labels.tolist() == [[2, 1, 0], [3, 2, 1], [2, 0, IGNORE], [1, 3, 0]]
    assert (val.inputs.tolist(), test.labels.tolist()) == ([[3, 2, 0]], [[3, 1, 0]])
    assert data.render(train.labels[1]) == "cba"


def test_an_alphabet_says_the_tokens(here):
    """Breaks when the alphabet is sorted, or symbols that only held-out rows have are refused with it."""
    (here / "train.csv").write_text(WORDS)
    (here / "test.csv").write_text("question,answer\nzb,bz\n")
    data = TableData(".", alphabet="zcba", num_val=1)
    assert data.vocab_size == 5
    assert data.splits.test.inputs.tolist() == [[1, 3, 0]]


def test_one_file_is_divided_by_the_seed_with_no_question_in_two_parts(here):
    """Breaks when the division is not seeded, loses rows, or cuts between rows that ask the same."""
    rows = [f"{number:03d},{number % 7}" for number in range(100)]
    (here / "mine.csv").write_text("\n".join(["question,answer", *rows, *rows[:50]]))
    parts = [[q for q, _ in shown(TableData("mine.csv"), part)] for part in ("train", "val", "test")]
    assert sorted(q for part in parts for q in part) == sorted(row[:3] for row in rows + rows[:50])
    assert all(set(one).isdisjoint(two) for one, two in zip(parts, parts[1:] + parts[:1], strict=True))
    assert [len(part) for part in parts[1:]] == [15, 15]
    again, other = (TableData("mine.csv", seed=seed) for seed in (0, 1))
    assert [q for q, _ in shown(again, "test")] == parts[2]
    assert [q for q, _ in shown(other, "test")] != parts[2]
    assert len(shown(TableData("mine.csv", num_val=4, num_test=30), "test")) == 30


def test_a_missing_part_is_drawn_from_the_training_file(here):
    """Breaks when a validation file is needed, or the test file is divided too."""
    (here / "train.csv").write_text(WORDS)
    (here / "test.csv").write_text("question,answer\ncc,cc\n")
    data = TableData(".", num_val=2)
    assert [len(part.inputs) for part in data.splits] == [2, 2, 1]
    assert shown(data, "test") == [("cc", "cc")]


def test_grids_of_integers_lie_at_the_top_left_of_the_largest(here):
    """Breaks when a smaller grid is laid out row after row, or integers are shifted instead of looked up."""
    rows = [
        pair([[7, -1], [7, 7]], [[7, 7], [-1, -1]]),
        pair([[30, 7, 7]], [[7, 30, 7]]),
        pair([7], [30]),
    ]
    (here / "train.jsonl").write_text(lines(*rows))
    (here / "test.jsonl").write_text(lines(pair([[7], [30]], [[7], [7]])))
    data = TableData(".", num_val=1)
    assert (data.vocab_size, data.grid_shape) == (4, (2, 3))
    assert data.splits.test.inputs.tolist() == [[2, 0, 0, 3, 0, 0]]
    assert data.splits.test.labels.tolist() == [[2, 0, IGNORE, 2, IGNORE, IGNORE]]
    assert data.render(data.splits.test.inputs[0]).split("\n") == [" 7  .  .", "30  .  ."]
    assert data.parts["train"].inputs.tolist()[:2] == [[2, 1, 0, 2, 2, 0], [3, 2, 2, 0, 0, 0]]


def test_texts_as_long_as_the_canvas_are_its_rows(here):
    """Breaks when a text of 2 x 3 characters is refused, laid out by columns, or takes a short one along."""
    (here / "train.csv").write_text("question,answer\nabcdef,fedcba\nabc,cba\nb,dddddd\n")
    data = TableData(".", grid_shape=(2, 3), num_val=0, num_test=0)
    assert data.parts["train"].inputs.tolist() == [[1, 2, 3, 4, 5, 6], [1, 2, 3, 0, 0, 0], [2, 0, 0, 0, 0, 0]]
    assert data.parts["train"].labels.tolist()[::2] == [[6, 5, 4, 3, 2, 1], [4] * 6]
    assert data.parts["train"].labels[1].tolist() == [3, 2, 1, 0, IGNORE, IGNORE]
    assert [data.render(row) for row in data.parts["train"].inputs] == ["abc\ndef", "abc", "b"]


def test_a_list_as_long_as_the_canvas_is_its_rows(here):
    """Breaks when only texts may be written row by row."""
    (here / "train.jsonl").write_text(
        lines(pair([1, 2, 3, 4], [[4, 3], [2, 1]]), pair([[1, 1], [2, 2]], [1]))
    )
    data = TableData(".", grid_shape=(2, 2), num_val=0, num_test=0)
    assert data.parts["train"].inputs.tolist() == [[1, 2, 3, 4], [1, 1, 2, 2]]
    assert data.parts["train"].labels.tolist() == [[4, 3, 2, 1], [1, 0, 0, IGNORE]]


def test_a_list_of_integers_is_an_alphabet_of_grids(here):
    """Breaks when integers that the training file lacks cannot be allowed."""
    (here / "train.jsonl").write_text(lines(pair([0, 1], [1, 0]), pair([1, 1], [1, 1])))
    (here / "test.jsonl").write_text(lines(pair([9, 1], [1, 9])))
    data = TableData(".", alphabet=[9, 0, 1], num_val=1)
    assert data.splits.test.inputs.tolist() == [[1, 3]]


@pytest.mark.parametrize("name", ["mine.csv", "mine.csv.gz", "MINE.CSV", "MINE.CSV.GZ"])
def test_csv_cells_may_hold_grids_as_json(here, name):
    """Breaks when a quoted list counts as text, by how the file is packed or its name is written."""
    content = b'question,answer\n"[[1, 2], [2, 1]]","[[2, 1], [1, 2]]"\n[[1]],[[2]]\n[2],[1]\n'
    packed = name.lower().endswith(".gz")
    (here / name).write_bytes(gzip.compress(content, mtime=0) if packed else content)
    data = TableData(name)
    assert not data.text
    assert (data.vocab_size, data.grid_shape) == (3, (2, 2))
    assert data.parts["train"].inputs.tolist() == [[1, 2, 2, 1], [1, 0, 0, 0], [2, 0, 0, 0]]


def test_text_that_begins_with_a_bracket_stays_text_with_an_alphabet(here):
    """Breaks when brackets always mean lists."""
    (here / "mine.csv").write_text("question,answer\n[(,)]\n[[,]]\n((,))\n")
    data = TableData("mine.csv", alphabet="()[]")
    assert data.parts["train"].inputs.tolist() == [[3, 1], [3, 3], [1, 1]]


def test_a_larger_canvas_makes_room_for_longer_answers(here):
    """Breaks when the canvas is always that of the questions."""
    (here / "mine.csv").write_text("question,answer\na,aa\nb,bb\nc,cc\n")
    data = TableData("mine.csv", grid_shape=(1, 4))
    assert data.parts["train"].labels.tolist()[0] == [1, 1, 0, IGNORE]
    assert data.seq_len == 4


UNEQUAL = [pair("abcd", "b"), pair("abca", "abc"), pair("bb", "bbcc"), pair("c", "a")]


def guess(*tokens):
    return torch.tensor([tokens])


def test_where_an_answer_ends_is_supervised_and_nothing_behind_it(here):
    """Breaks when the length of an answer is neither learnt nor measured, or all padding is."""
    (here / "mine.jsonl").write_text(lines(*UNEQUAL))
    labels = TableData("mine.jsonl").parts["train"].labels
    assert labels.tolist() == [[2, 0, -100, -100], [1, 2, 3, 0], [2, 2, 3, 3], [1, 0, -100, -100]]
    logits = torch.nn.functional.one_hot(guess(2, 3, 1, 1), 4).float()
    assert not exactly_right(logits, torch.from_numpy(labels[:1].astype(np.int64)))
    logits = torch.nn.functional.one_hot(guess(2, 0, 1, 1), 4).float()
    assert exactly_right(logits, torch.from_numpy(labels[:1].astype(np.int64)))
    without = TableData("mine.jsonl", end_mark=False).parts["train"].labels
    assert without.tolist() == [[2, *[-100] * 3], [1, 2, 3, -100], [2, 2, 3, 3], [1, *[-100] * 3]]


def test_the_end_of_a_grid_is_marked_right_of_its_first_row_and_below_its_first_column(here):
    """Breaks when rows and columns are exchanged, or a mark leaves the canvas."""
    rows = [pair([[1] * 3] * 3, [[1, 1]]), pair([[1]], [[1] * 3]), pair([[2]], [[2], [2], [2]])]
    (here / "mine.jsonl").write_text(lines(*rows))
    labels = TableData("mine.jsonl").parts["train"].labels.reshape(-1, 3, 3)
    no = IGNORE
    assert labels[0].tolist() == [[1, 1, 0], [0, no, no], [no, no, no]]
    assert labels[1].tolist() == [[1, 1, 1], [0, no, no], [no, no, no]]
    assert labels[2].tolist() == [[2, 0, no], [2, no, no], [2, no, no]]


def test_predictions_are_shown_up_to_their_own_end(here):
    """Breaks when the question stands behind a short answer, or a prediction is cut to the answer's."""
    rows = [pair("nn had 1 apples", "0"), pair("a", "nn")]
    (here / "mine.jsonl").write_text(lines(*rows))
    data = TableData("mine.jsonl")
    question, label, _ = (torch.from_numpy(field[:1]).long() for field in data.parts["train"])
    wrong = data.vocabulary.order  # any tokens will do
    tokens = [1 + int(wrong[place % 3]) for place in range(15)]
    for end, length in ((0, 0), (1, 1), (4, 4), (None, 15)):
        cells = guess(*(0 if place == end else token for place, token in enumerate(tokens)))
        logits = torch.nn.functional.one_hot(cells, data.vocab_size).float()
        found = Prediction(logits, torch.ones(1), torch.ones(1), torch.ones(1))
        (sample,) = samples(Batch(question, label, torch.zeros(1)), found, 1, data)
        assert len(data.render(sample.prediction)) == length
        assert data.render(sample.answer) == "0"
        (record,) = records(Batch(question, label, torch.zeros(1)), found, data)
        assert record["text"] == data.render(tokens[:length])


def test_without_end_marks_predictions_are_shown_in_the_cells_of_the_answer(here):
    """Breaks when the question stands behind an answer that has no mark."""
    (here / "mine.jsonl").write_text(lines(*UNEQUAL))
    data = TableData("mine.jsonl", end_mark=False)
    known = torch.tensor([[True, False, False, False]])
    assert data.shown(guess(1, 2, 3, 1), guess(2, 0, 0, 0), known).tolist() == [[2, 0, 0, 0]]
    assert data.shown(guess(1, 2, 3, 1), guess(3, 3, 3, 3), known).tolist() == [[3, 0, 0, 0]]
    assert data.shown(guess(1, 2, 3, 1), guess(3, 3, 3, 3), known | True).tolist() == [[3, 3, 3, 3]]


def test_a_shown_grid_ends_at_its_first_paddings(here):
    """Breaks when a row or a column beyond the end is shown."""
    (here / "mine.jsonl").write_text(lines(pair([[1, 2, 1]] * 3, [[1]]), pair([[2]], [[1]])))
    data = TableData("mine.jsonl")
    cells = guess(1, 2, 0, 2, 0, 1, 0, 1, 1)
    known = torch.ones(1, 9, dtype=torch.bool)
    assert data.shown(cells * 0 + 2, cells, known).tolist() == [[1, 2, 0, 2, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize("name", ["test.jsonl", "asked.csv.gz"])
def test_questions_without_answers_can_be_asked(here, name):
    """Breaks when answers are needed for a prediction, or the training file for symbols that are listed."""
    (here / "train.csv").write_text(WORDS)
    train = TableData("train.csv", num_val=1, num_test=1)
    settings = arguments(train)
    assert settings["alphabet"] == "abc"
    assert tuple(settings["grid_shape"]) == (1, 3)
    if name == "test.jsonl":
        (here / name).write_text(lines({"input": "bc"}, {"input": "c"}))
        data = TableData(".", num_val=1)
        assert len(data.splits.train.inputs) == 3
    else:
        (here / name).write_bytes(gzip.compress(b"puzzle\nbc\nc\n", mtime=0))
        data = TableData(**settings | {"path": name})
        with pytest.raises(DataError, match="TableData has no training puzzles"):
            data.setup("fit")
    data.setup("predict")
    assert data.splits.test.inputs.tolist() == [[2, 3, 0], [3, 0, 0]]
    assert (data.splits.test.labels == IGNORE).all()
    with pytest.raises(DataError, match="TableData cannot score test puzzle number 1, whose"):
        data.setup("test")


@pytest.mark.parametrize("name", ["train.csv.gz", "train.jsonl", "train.jsonl.gz"])
def test_columns_have_their_usual_names_and_files_may_be_packed(here, name):
    """Breaks when a file must be rewritten for its names alone."""
    rows = [line.split(",") for line in WORDS.split()[1:]]
    if "jsonl" in name:
        content = lines(*({"Input": question, "output": answer} for question, answer in rows)).encode()
    else:
        content = WORDS.replace("question,answer", "quizzes, Solutions").encode()
    (here / name).write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    expected = here / "plain.csv"
    expected.write_text(WORDS)
    found = TableData(name).parts["train"]
    for one, two in zip(found, TableData("plain.csv").parts["train"], strict=True):
        assert (one == two).all()


def test_tasks_are_numbered_by_name_and_measured_each(here):
    """Breaks when tasks are numbered by appearance, differently in the test file, or a number is no name."""
    (here / "train.jsonl").write_text(
        lines(pair("ab", "ba", task="turn"), pair("ab", "ab", task="keep"), pair("ba", "ab", task="turn"))
    )
    (here / "test.jsonl").write_text(lines(pair("bb", "bb", task="turn"), pair("bb", "bb", task="keep")))
    data = TableData(".", num_val=1)
    assert (data.num_tasks, data.tasks) == (2, ["keep", "turn"])
    assert data.splits.test.task.tolist() == [1, 0]
    assert data.task_metric("test").names == ("keep", "turn")
    (here / "test.jsonl").unlink()
    (here / "train.jsonl").write_text(lines(*(pair(f"{n:02d}", "0", task=n % 2) for n in range(30))))
    assert TableData(".").tasks == ["0", "1"]
    (here / "train.jsonl").write_text(lines(*(pair(f"{n:02d}", "0", task=n) for n in range(30))))
    assert TableData(".").task_metric("test") is None


def test_quotes_blank_lines_byte_order_marks_and_other_columns_are_read(here):
    """Breaks when a file as spreadsheets write it is refused."""
    text = '\ufeffid, question ,level,answer\r\n1,"a,""b",3,"b""a,"\r\n\r\n2,"c\nd",1,dc\r\n3,é,1,é\r\n'
    (here / "mine.csv").write_bytes(text.encode())
    data = TableData("mine.csv")
    assert [data.render(row) for row in data.parts["train"].inputs] == ['a,"b', "c\nd", "é"]

"""Files that cannot be used: one line with file, row and reason."""

from __future__ import annotations

import gzip
import json

import pytest

from recurlight.data import TableData
from recurlight.errors import DataError

HEAD = "question,answer\n"
WORDS = HEAD + "ab,ba\nabc,cba\nb,b\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(path, **settings):
    """Return the one line with which data are refused when they are made."""
    with pytest.raises(DataError) as caught:
        TableData(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def line(question, answer, **more):
    return json.dumps({"question": question, "answer": answer, **more}) + "\n"


CSV = {
    "empty": ("", "mine.csv: the file is empty; it needs the columns question and answer"),
    "blank": ("\n \n", "mine.csv: the file is empty"),
    "header only": (HEAD, "mine.csv: the file has a header and no rows"),
    "missing column": ("a,answer\na,b\n", "mine.csv, row 1: no column question; the header must name"),
    "answers missing": ("question,reply\na,b\n", "mine.csv can be predicted only, and has no training file"),
    "two questions": (
        "input,puzzle,answer\n",
        "mine.csv, row 1: input and puzzle both could be",
    ),
    "missing columns": ("\nq,a\n", "mine.csv, row 2: no column question and answer; the header must name"),
    "column twice": (
        "answer,question,answer\n",
        "mine.csv, row 1: two columns are called answer; rename one",
    ),
    "ragged": (HEAD + "a,b\n\na\n", "mine.csv, row 4: 1 columns instead of 2"),
    "comma": (HEAD + "a,b,c\n", "mine.csv, row 2: 3 columns instead of 2; quote fields with commas"),
    "ragged below a field of two lines": (HEAD + '"a\nb",c\nx\n', "mine.csv, row 4: 1 columns instead of 2"),
    "open quote": (HEAD + 'a,b\n"c,d\ne,f\n', "mine.csv, row 3: malformed CSV, unexpected end of data"),
    "text after a quote": (HEAD + '"a"b,c\n', "mine.csv, row 2: malformed CSV, ',' expected after '\"'"),
    "not UTF-8": (WORDS.encode() + b"\xe4,a\n", "mine.csv, row 5: not UTF-8 text; save the file as UTF-8"),
    "empty question": (HEAD + "a,a\n,a\n", "mine.csv, row 3: the question is empty"),
    "empty answer": (HEAD + "a,\n", "mine.csv, row 2: the answer is empty"),
    "long answer": (
        HEAD + "ab,b\nb,abcd\n",
        "mine.csv, row 3: the answer has 4 cells, the grid 2, by default the largest question's: "
        "set data.grid_shape to [1, 4]",
    ),
    "id twice": (
        "question,id,answer\na,7,b\nb,8,a\na,7,a\n",
        "mine.csv, row 4: the id '7' is also in mine.csv, row 2; make ids unique",
    ),
    "no list": (
        HEAD + "[1],[2]\n[1],[2\n",
        "mine.csv, row 3: the answer is no JSON list, unlike the first quest",
    ),
}


@pytest.mark.parametrize("case", CSV)
def test_csv(here, case):
    """Breaks when the file is read anyway, the row is miscounted, or a traceback is shown."""
    content, message = CSV[case]
    (here / "mine.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal("mine.csv").startswith(message)


GOOD = line([1, 2], [2, 1])
JSONL = {
    "malformed": (
        GOOD + '{"question": [1], "answer" [1]}',
        "row 2: malformed JSON, Expecting ':' delimiter at",
    ),
    "nested": (GOOD + "\n" + "[" * 100_000, "row 3: malformed JSON"),
    "no object": ("[1, 2]\n", "row 1: each line must be one object"),
    "no answer": (
        GOOD + '{"question": [1]}',
        "row 2: it has no 'answer', unlike row 1",
    ),
    "no question": (
        GOOD + '{"answer": [1]}',
        "row 2: no 'question'; each object needs a question and an answer",
    ),
    "two answers": (
        '{"question": [1], "output": [1], "solution": [1]}',
        "row 1: output and solution both could be the answer; rename one",
    ),
    "id in some": (GOOD + line([1], [1], id=3), "row 2: it has a 'id', unlike row 1"),
    "task in others": (line([1], [1], task=3) + GOOD, "row 2: it has no 'task', unlike row 1"),
    "ragged": (
        GOOD + line([[1, 2], [1]], [[1]]),
        "row 2: the grid of the question is ragged, its row 2 has 1",
    ),
    "fraction": (line([1.5], [1]), "row 1: the question has a cell that is no 32-bit integer: 1.5"),
    "truth": (line([1], [True]), "row 1: the answer has a cell that is no 32-bit integer: true"),
    "huge": (line([2**40], [1]), "row 1: the question has a cell that is no 32-bit integer: 1099511627776"),
    "nothing": (line([1], [None]), "row 1: the answer has a cell that is no 32-bit integer: null"),
    "number": (line([1], 1), "row 1: the answer is no list, unlike the first question: 1"),
    "text": (GOOD + line("ab", [1]), 'row 2: the question is no list, unlike the first question: "ab"'),
    "list": (line("ab", [1]), "row 1: the answer is no text, unlike the first question: [1]"),
    "mixed": (line([[1], 2], [1]), "row 1: the question mixes numbers and lists"),
    "mixed the other way": (
        line([1, [2]], [1]),
        "row 1: the question has a cell that is no 32-bit integer: [2]",
    ),
    "empty": (line([], [1]), "row 1: the question is empty"),
    "empty row": (line([[]], [1]), "row 1: the question is empty"),
    "large answer": (
        line([[1, 1]], [[1], [1]]),
        "row 1: the answer has 2 x 1 cells, the grid 1 x 2, by default the largest question's: "
        "set data.grid_shape to [2, 2]",
    ),
    "not UTF-8": (GOOD.encode() + b"\xff", "row 2: not UTF-8 text"),
    "id twice": (
        line([1], [1], id="x") + line([2], [1], id="x"),
        "row 2: the id 'x' is also in mine.jsonl, row 1",
    ),
}


@pytest.mark.parametrize("case", JSONL)
def test_jsonl(here, case):
    """Breaks when the file is read anyway, the row is miscounted, or a traceback is shown."""
    content, message = JSONL[case]
    (here / "mine.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal("mine.jsonl").startswith(f"mine.jsonl, {message}")


HELD_OUT = {
    "character": (
        "ax,xa",
        {},
        "row 2: the question has the character 'x', which train.csv has not: add a row",
    ),
    "character in the answer": (
        "a,x",
        {},
        "row 2: the answer has the character 'x', which train.csv has not",
    ),
    "character beyond the alphabet": (
        "a,x",
        {"alphabet": "abc"},
        "row 2: the answer has the character 'x', which d",
    ),
    "known question": (
        "c,b\nab,ba",
        {},
        "row 3: the question is also in train.csv, row 2; keep it in one of",
    ),
    "text of no whole grid": (
        "abcb,a",
        {"grid_shape": (2, 3)},
        "row 2: the question has 1 x 4 cells, the grid 2 x 3, by default the largest question's (6 in one "
        "row would fill it row by row): set data.grid_shape to [2, 4]",
    ),
    "smaller canvas": ("abcb,a", {"grid_shape": (1, 3)}, "row 2: the question has 4 cells, the grid 3"),
}


@pytest.mark.parametrize("case", HELD_OUT)
def test_held_out_rows_that_do_not_fit_the_training_rows(here, case):
    """Breaks when an unknown symbol becomes some token, or a held-out question was trained on."""
    rows, settings, message = HELD_OUT[case]
    (here / "train.csv").write_text(WORDS)
    (here / "test.csv").write_text(HEAD + rows + "\n")
    assert refusal(".", **settings).startswith(f"test.csv, {message}")


def test_unknown_integers_and_tasks(here):
    """Breaks when an integer beyond the largest is looked up as the largest, or an unknown task as one."""
    (here / "train.jsonl").write_text(line([1, 5], [5, 1], task="a"))
    (here / "val.jsonl").write_text(line([1, 1], [9, 1], task="a"))
    assert refusal(".").startswith("val.jsonl, row 1: the answer has the number 9, which train.jsonl has not")
    (here / "val.jsonl").write_text(line([1, 1], [1, 1], task="b"))
    assert refusal(".") == "val.jsonl, row 1: the task 'b' has no row in the training file"
    (here / "val.jsonl").write_text(line([1, 1], [1, 1]))
    assert refusal(".") == "val.jsonl, row 1: it has no task"


def test_the_same_id_in_two_files(here):
    """Breaks when ids are compared within a file only."""
    (here / "train.csv").write_text("id,question,answer\n1,a,b\n2,b,a\n")
    (here / "test.csv").write_text("id,question,answer\n2,ab,ba\n")
    assert refusal(".", grid_shape=(1, 2)).startswith(
        "test.csv, row 2: the id '2' is also in train.csv, row 3"
    )


def test_files_that_are_not_there(here):
    """Breaks when a wrong path ends in a traceback, or one of two training files is taken in silence."""
    assert refusal("nowhere.csv").startswith("nowhere.csv: no such file or folder; set data.path to a .csv")
    assert (
        refusal(".")
        == ". has neither train.csv nor train.jsonl: set data.path to a folder with one, or a file"
    )
    (here / "words.csv").write_text(WORDS)
    assert "did you mean 'words.csv'?" in refusal("word.csv")
    (here / "link.csv").symlink_to("gone")
    assert refusal("link.csv").startswith("link.csv: no such file or folder; set data.path")
    (here / "CAPITALS.CSV").write_text(WORDS)
    assert len(TableData("CAPITALS.CSV").parts["train"].inputs) == 3
    (here / "words.txt").write_text(WORDS)
    assert refusal("words.txt") == "words.txt ends in '.txt': data.path takes .csv and .jsonl files"
    for name in ("train.csv", "train.jsonl"):
        (here / name).write_text(WORDS)
    assert refusal(".") == ". has train.csv and train.jsonl: remove one of them"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_test": 1}, "num_test is 1, but test.csv is there: leave data.num_test away"),
        ({"num_val": -1}, "num_val is -1: set data.num_val to 0 or more"),
        ({"alphabet": ""}, "alphabet is '': set data.alphabet to one or more symbols, each once"),
        ({"alphabet": "abca"}, "alphabet is 'abca': set data.alphabet to one or more symbols, each once"),
        ({"grid_shape": (4,)}, "TableData got grid_shape=(4,): give (a whole number, a whole number)"),
        ({"grid_shape": (0, 4)}, "grid_shape is (0, 4): set data.grid_shape to [rows, columns], 1 or more"),
        ({"alphabet": [1, 2]}, "train.csv, row 2: the question is no JSON list"),
    ],
)
def test_settings_that_contradict_the_files(here, settings, message):
    """Breaks when a setting without effect is accepted."""
    (here / "train.csv").write_text(WORDS)
    (here / "test.csv").write_text(HEAD + "ba,ab\n")
    assert refusal(".", **settings).startswith(message)


def test_too_few_rows_are_refused_on_loading(here):
    """Breaks when a tiny file leaves an evaluation without rows."""
    (here / "mine.csv").write_text(HEAD + "a,b\na,b\n")
    with pytest.raises(DataError, match="2 puzzles with 1 different questions cannot be divided"):
        _ = TableData("mine.csv").splits


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train.csv.gz",
            gzip.compress(WORDS.encode(), mtime=0)[:-9],
            "no whole gzip file, it was cut off or damaged",
        ),
        ("train.csv.gz", WORDS.encode(), "no whole gzip file, it was cut off or damaged; copy it again"),
        ("train.jsonl.gz", b"", "the file is empty; it needs the columns question and answer"),
        ("train.csv", WORDS.encode("utf-16"), ", row 1: not UTF-8 text; save the file as UTF-8"),
        ("train.csv", b"question;answer\na;b\n", ", row 1: no column question and answer; the header must"),
        ("val.csv", b"question\nba\n", "no column answer; only the test file may be without answers"),
    ],
)
def test_files_of_a_folder_that_cannot_be_used(here, name, content, message):
    """Breaks when a packed file's error is shown, or held-out rows without answers are taken in silence."""
    if name == "val.csv":
        (here / "train.csv").write_text(WORDS)
    (here / name).write_bytes(content)
    found = refusal(".")
    assert found.startswith(name)
    assert message in found


def test_a_folder_in_place_of_a_file(here):
    (here / "train.csv").mkdir()
    assert refusal(".").startswith(". has neither train.csv nor train.jsonl: set data.path to a folder")
    (here / "mine.csv").mkdir()
    assert refusal("mine.csv").startswith("mine.csv has neither train.csv nor train.jsonl")

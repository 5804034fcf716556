from __future__ import annotations

import numpy as np
import pytest

from recurlight.data import MazeData
from recurlight.data.maze.generate import make_maze
from recurlight.data.maze.rules import invariant
from recurlight.errors import DataError

HEADER = "source,question,answer,rating"
PAIRS = [make_maze(6, 5, 0, index) for index in range(40)]


def line(question: str, answer: str) -> str:
    return f"made,{question},{answer},0"


def write(path, pairs) -> None:
    path.write_text("\n".join([HEADER, *(line(*pair) for pair in pairs), ""]))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train.csv", PAIRS[:30])
    write(tmp_path / "test.csv", PAIRS[30:])
    return tmp_path


def read(folder, **settings):
    counts = {"num_train": None, "num_val": 0, "num_test": None}
    return MazeData(size=6, source="csv", path=str(folder), batch_size=4, **(counts | settings)).splits


def texts(grids) -> list[str]:
    return ["".join("?# SGo"[token] for token in grid) for grid in grids]


def test_rows_are_read_with_their_spaces(folder):
    """Fails if fields are stripped, tokens are numbered in another order, or test rows are drawn."""
    splits = read(folder)
    assert list(zip(texts(splits.test.inputs), texts(splits.test.labels), strict=True)) == PAIRS[30:]
    assert sorted(zip(texts(splits.train.inputs), texts(splits.train.labels), strict=True)) == sorted(
        PAIRS[:30]
    )


def test_the_draw_is_seeded(folder):
    """Fails if the seed does not reach the draw."""
    one, two, other = (read(folder, num_train=10, num_val=5, seed=seed) for seed in (0, 0, 1))
    assert (one.train.inputs == two.train.inputs).all()
    assert set(texts(one.train.inputs)) != set(texts(other.train.inputs))
    assert not set(texts(one.train.inputs)) & set(texts(one.val.inputs))


def turned(text: str) -> str:
    return "".join(text[row::6][::-1] for row in range(6))


def test_splits_share_nothing_even_turned(folder):
    """Fails if rows are compared as they stand: training holds turned writings of test rows and its own."""
    doubled = [*PAIRS[:10], *(tuple(map(turned, pair)) for pair in [*PAIRS[:10], *PAIRS[30:33]])]
    write(folder / "train.csv", doubled)
    splits = read(folder, num_val=4)
    classes = [set(invariant(split.inputs, 6).tolist()) for split in splits]
    assert all(classes[one].isdisjoint(classes[two]) for one, two in ((0, 1), (0, 2), (1, 2)))
    assert [len(split.inputs) for split in splits][1:] == [4, 10]


QUESTION, ANSWER = PAIRS[2]
OPEN, STEP, BLOCK = ANSWER.index(" "), ANSWER.index("o"), ANSWER.index("#")


def put(text: str, place: int, symbol: str) -> str:
    return text[:place] + symbol + text[place + 1 :]


CLOSED = "S#" + " " * 33 + "G"
CLOSED = put(CLOSED, 6, "#")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("made,1,2", r"train\.csv, row 4: 3 columns instead of 4"),
        (line(QUESTION[1:], ANSWER), r"row 4: question has 35 characters instead of 36; check data\.size"),
        (line(QUESTION, ANSWER + " "), r"row 4: answer has 37 characters instead of 36"),
        (
            line(put(QUESTION, OPEN, "x"), ANSWER),
            "row 4: question has the character 'x'; questions of",
        ),
        (line(put(QUESTION, OPEN, "o"), ANSWER), "row 4: question has the character 'o'"),
        (
            line(QUESTION, put(ANSWER, OPEN, ".")),
            "row 4: answer has the character '.'; answers of",
        ),
        (line(QUESTION.replace("S", " "), ANSWER), "row 4: the question has no start 'S'"),
        (line(QUESTION.replace("G", " "), ANSWER), "row 4: the question has no goal 'G'"),
        (line(put(QUESTION, OPEN, "S"), ANSWER), "row 4: the question has more than one start 'S'"),
        (line(put(QUESTION, OPEN, "G"), ANSWER), "row 4: the question has more than one goal 'G'"),
        (line(CLOSED, CLOSED), "row 4: no way leads from start to goal"),
        (line(QUESTION, put(ANSWER, BLOCK, "o")), "row 4: the answer contradicts the question"),
        (line(QUESTION, put(ANSWER, OPEN, "#")), "row 4: the answer contradicts the question"),
        (line(QUESTION, ANSWER.replace("S", "o")), "row 4: the answer contradicts the question"),
        (line(QUESTION, QUESTION), "row 4: the answer's 'o' are no path from start to goal"),
        (line(QUESTION, put(ANSWER, STEP, " ")), "row 4: the answer's 'o' are no path from start to goal"),
        (line(QUESTION, ANSWER.replace(" ", "o")), "row 4: the answer's 'o' are no path from start to goal"),
    ],
)
def test_a_bad_row_is_named(folder, row, message):
    """Each case fails if its check is left out, or counts rows otherwise than from the file's first line."""
    lines = [HEADER, *(line(*pair) for pair in PAIRS[:6])]
    lines[3] = row
    (folder / "train.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=message) as caught:
        read(folder)
    assert str(folder / "train.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"source,maze,answer,rating\na,b,c,d\n", r"test\.csv, row 1: no column question"),
        (HEADER.encode() + b"\na,b,c,d\n\xe9,b,c,d\n", r"test\.csv, row 3: not UTF-8"),
    ],
)
def test_a_bad_file_is_named(folder, content, message):
    """Fails if mazes are read without the table's own checks."""
    (folder / "test.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(folder)


def test_questions_alone_can_be_asked_and_are_still_mazes(tmp_path):
    """Fails if mazes without answers are not read, or not looked at."""
    path = tmp_path / "asked.csv"
    grids = [question for question, _ in PAIRS[:4]]
    path.write_text("\n".join(f'"{grid}"' for grid in grids))
    data = MazeData(size=6, source="csv", path=str(path), batch_size=4)
    data.setup("predict")
    assert texts(data.splits.test.inputs) == grids
    with pytest.raises(
        DataError, match="MazeData cannot score test puzzle number 1, whose answer is not known"
    ):
        data.setup("test")
    for wrong, message in (
        (CLOSED, "no way leads"),
        (QUESTION.replace("S", "#"), "the question has no start"),
    ):
        path.write_text("\n".join(["maze,puzzle", *(f"x,{grid}" for grid in [*grids, wrong])]))
        with pytest.raises(DataError, match=f"asked.csv, row 6: {message}"):
            read(path)


def test_a_path_that_is_not_the_shortest_may_stand_in_a_file(folder):
    """Fails if reading demands shortest paths: users may bring other rules."""
    question = "S     " + "  G   " + " " * 24
    answer = "S     " + "o G   " + "ooo   " + " " * 18
    write(folder / "test.csv", [(question, answer)])
    assert texts(read(folder).test.labels) == [answer]


def test_too_few_rows_are_counted(folder):
    """Fails if a split is silently smaller than asked for."""
    with pytest.raises(DataError, match=r"30 usable rows for num_train=31; set data\.num_train to 30"):
        read(folder, num_train=31)


def test_a_folder_is_needed():
    """Fails if the source csv falls back to generated mazes."""
    with pytest.raises(DataError, match=r"source csv needs a file or folder: set data\.path"):
        MazeData(source="csv").setup("fit")


def test_many_blocks_are_read_like_one(folder, monkeypatch):
    """Fails if blocks of rows are joined in another order, or lost."""
    whole = read(folder)
    monkeypatch.setattr("recurlight.data.maze.read._BLOCK", 7)
    parts = read(folder)
    assert all((one == two).all() for one, two in zip(whole.train, parts.train, strict=True))
    assert np.array_equal(whole.test.labels, parts.test.labels)

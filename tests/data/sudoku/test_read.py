from __future__ import annotations

import numpy as np
import pytest

from recurlight.data import SudokuData
from recurlight.data.puzzles import Puzzles
from recurlight.data.sudoku.augment import augment
from recurlight.data.sudoku.generate import SYMBOLS, make_puzzle
from recurlight.data.sudoku.make import token_arrays
from recurlight.data.sudoku.rules import invariant
from recurlight.errors import DataError

SIZE = 6
HEADER = "source,question,answer,rating"
PAIRS = [make_puzzle(SIZE, 0, index) for index in range(40)]


def line(question: str, answer: str) -> str:
    return f"made,{question},{answer},0"


def write(path, pairs, end: str = "\n") -> None:
    path.write_bytes(end.join([HEADER, *(line(*pair) for pair in pairs), ""]).encode())


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train.csv", PAIRS[:30])
    write(tmp_path / "test.csv", PAIRS[30:])
    return tmp_path


def read(folder, num_train=None, num_val=0, num_test=None, seed=0):
    counts = {"num_train": num_train, "num_val": num_val, "num_test": num_test}
    return SudokuData(SIZE, "csv", str(folder), seed=seed, **counts).splits


def rows_of(puzzles: Puzzles) -> set[bytes]:
    return {row.tobytes() for row in puzzles.inputs}


def varied(pair: tuple[str, str]) -> tuple[str, str]:
    """Another writing of the same puzzle."""
    questions, answers = token_arrays([pair[0]]), token_arrays([pair[1]])
    puzzles = Puzzles(questions, answers, np.zeros(1, dtype=np.uint8))
    other = augment(puzzles, np.array([5], dtype=np.uint64), size=SIZE)
    text = ["".join(SYMBOLS[token - 1] for token in grid[0]) for grid in (other.inputs, other.labels)]
    assert text[0] != pair[0]
    return text[0], text[1]


def test_all_rows_are_read_and_test_keeps_its_order(folder):
    splits = read(folder)
    assert rows_of(splits.train) == rows_of(Puzzles(token_arrays([q for q, _ in PAIRS[:30]]), None, None))
    assert (splits.test.inputs == token_arrays([question for question, _ in PAIRS[30:]])).all()
    assert (splits.test.labels == token_arrays([answer for _, answer in PAIRS[30:]])).all()


@pytest.mark.parametrize("end", ["\r\n", "\n\n"])
def test_line_ends_of_windows_and_blank_lines_at_the_end(folder, end):
    text = (folder / "train.csv").read_text()
    text = text.replace("\n", "\r\n") if end == "\r\n" else text + "\n\n"
    (folder / "train.csv").write_bytes(text.encode())
    assert rows_of(read(folder).train) == rows_of(read(folder, 30).train)


def test_the_answer_may_be_the_last_column_on_windows(folder):
    lines = ["question,answer", *(",".join(pair) for pair in PAIRS[:5]), ""]
    (folder / "train.csv").write_bytes("\r\n".join(lines).encode())
    assert (read(folder).train.labels > 1).all()


def test_no_line_end_after_the_last_row(folder):
    (folder / "train.csv").write_text((folder / "train.csv").read_text().rstrip("\n"))
    assert len(read(folder).train.inputs) == 30


def test_other_column_order_zero_for_blank_and_text_beyond_ascii(folder):
    lines = [f"{answer},é,{question.replace('.', '0')}" for question, answer in PAIRS[:5]]
    (folder / "train.csv").write_text("\n".join(["﻿answer,source,question", *lines]), encoding="utf-8")
    assert rows_of(read(folder).train) == rows_of(
        Puzzles(token_arrays([q for q, _ in PAIRS[:5]]), None, None)
    )


def test_the_draw_is_seeded_and_validation_stands_beside_training(folder):
    one, two, other = read(folder, 10, 5), read(folder, 10, 8), read(folder, 10, 5, seed=1)
    assert (one.train.inputs == two.train.inputs).all()
    assert rows_of(one.train) != rows_of(other.train)
    assert not rows_of(one.train) & rows_of(one.val)
    assert len(rows_of(one.train)) == 10
    assert len(rows_of(one.val)) == 5
    rest = read(folder, None, 8)
    assert len(rows_of(rest.train) | rows_of(rest.val)) == 30


def test_splits_share_nothing_up_to_symmetry(folder):
    """Training holds other writings of three test puzzles and of each of its own rows."""
    pairs = [*PAIRS[:10], *map(varied, PAIRS[:10]), *map(varied, PAIRS[30:33])]
    write(folder / "train.csv", pairs)
    splits = read(folder, None, 4)
    classes = [set(invariant(split.inputs, SIZE).tolist()) for split in splits]
    assert all(classes[one].isdisjoint(classes[two]) for one, two in ((0, 1), (0, 2), (1, 2)))
    assert len(splits.test.inputs) == 10


def test_test_rows_can_be_a_draw(folder):
    some = read(folder, num_test=4).test
    assert len(rows_of(some)) == 4
    assert rows_of(some) < rows_of(read(folder).test)


def changed(pair, question=None, answer=None):
    return line(question or pair[0], answer or pair[1])


QUESTION, ANSWER = PAIRS[2]
CLUE = next(place for place, mark in enumerate(QUESTION) if mark != ".")
OTHER = str(int(QUESTION[CLUE]) % SIZE + 1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("made,1,2", r"train\.csv, row 4: 3 columns instead of 4"),
        (line(QUESTION, ANSWER) + ",x", r"train\.csv, row 4: 5 columns instead of 4"),
        ("", r"train\.csv, row 4: 1 columns instead of 4"),
        (line(QUESTION[1:], ANSWER), r"row 4: question has 35 characters instead of 36; check data\.size"),
        (line(QUESTION, ANSWER + "1"), r"row 4: answer has 37 characters instead of 36"),
        (
            line("7" + QUESTION[1:], ANSWER),
            r"row 4: question has the character '7'; size 6 knows \.123456 and 0",
        ),
        (line(QUESTION, "x" + ANSWER[1:]), r"row 4: answer has the character 'x'"),
        (
            line(QUESTION[:CLUE] + OTHER + QUESTION[CLUE + 1 :], ANSWER),
            "row 4: the answer contradicts a clue",
        ),
        (line("." * 36, ANSWER[::-1][:35] + "."), "row 4: the answer is not a solved Sudoku"),
        (line("." * 36, ANSWER[6:] + ANSWER[:6]), "row 4: the answer is not a solved Sudoku"),
    ],
)
def test_a_bad_row_is_named(folder, row, message):
    lines = [HEADER, *(line(*pair) for pair in PAIRS[:6])]
    lines[3] = row
    (folder / "train.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=message) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"train\.csv: the file is empty"),
        (HEADER.encode(), r"train\.csv: the file has a header and no rows"),
        (HEADER.encode() + b"\n\n", r"train\.csv: the file has a header and no rows"),
        (b"source,grid,answer,rating\na,b,c,d\n", r"train\.csv, row 1: no column question; give the header"),
        (
            HEADER.replace("answer", "level").encode() + b"\na,b,c,d\n",
            r"csv, row 2: question has 1 char",
        ),
        (b"question\n" + QUESTION.encode(), r"train\.csv, row 1: no column answer, and there is nothing to"),
        (b"question,puzzle,answer,solution\n", r"train\.csv: the file has a header and no rows"),
        (b"puzzle,input,answer\n", r"row 1: puzzle and input both could be the question; rename one"),
        (b"answer,question,Answer\n", r"row 1: answer and Answer both could be the answer; rename one"),
        (b"question;answer\n", r"row 1: no column question; .* divided by commas; it is 'question;answer'"),
        (
            f"{QUESTION},{ANSWER},{ANSWER}".encode(),
            r"no column question; .* two grids of 36 characters",
        ),
        (f"{QUESTION},x".encode(), r"train\.csv, row 1: no column question"),
        (f"{QUESTION},{ANSWER}\n{QUESTION},{ANSWER},1".encode(), r"row 2: 3 columns instead of 2"),
        (f"{QUESTION},{ANSWER}\n{ANSWER},{QUESTION}".encode(), r"row 2: the answer contradicts a clue"),
        (HEADER.encode() + b'\n"a,b,c,d\n', r"train\.csv, row 2: malformed CSV, a quote that nothing closes"),
        ("question,answer\n1,2".encode("utf-16"), r"train\.csv, row 1: not UTF-8"),
        (b"question,answer\r1,2\r", r"row 1: lines end in carriage returns alone; save the file"),
        (b"\n\n", r"train\.csv, row 1: no column question"),
        (b"a\xff,b\n", r"train\.csv, row 1: not UTF-8"),
        (HEADER.encode() + b"\na,b,c,d\n\xe9,b,c,d\n", r"train\.csv, row 3: not UTF-8"),
    ],
)
def test_a_bad_file_is_named(folder, content, message):
    (folder / "train.csv").unlink()
    if content is not None:
        (folder / "train.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such file or folder; set data\.path"):
        read(tmp_path / "nowhere")
    (tmp_path / "sudoku.csv").write_text("")
    with pytest.raises(DataError, match=r"sudoko.csv: no such .*; did you mean '.*/sudoku\.csv'\?"):
        read(tmp_path / "sudoko.csv")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"num_train": 31}, r"train\.csv: 30 usable rows for num_train=31; set data\.num_train to 30"),
        ({"num_train": 25, "num_val": 6}, r"5 usable rows for num_val=6; set data\.num_val to 5"),
        ({"num_test": 11}, r"test\.csv: 10 usable rows for num_test=11; set data\.num_test to 10"),
    ],
)
def test_too_few_rows_are_counted(folder, counts, message):
    with pytest.raises(DataError, match=message):
        read(folder, **counts)


def test_the_data_module_reads_a_folder(folder):
    data = SudokuData(
        size=6, source="csv", path=str(folder), num_train=8, num_val=2, num_test=3, batch_size=4
    )
    data.setup("fit")
    assert [len(split.inputs) for split in data.splits] == [8, 2, 3]
    with pytest.raises(DataError, match=r"source csv needs a file or folder: set data\.path"):
        SudokuData(source="csv").setup("fit")
    with pytest.raises(DataError, match=r"path is x and source is generated, which reads no files: set"):
        SudokuData(path="x")

"""Files of puzzles as they are found: names of columns, headers, quotes, packing, and questions alone."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch

from data.sudoku.test_read import ANSWER, PAIRS, QUESTION, SIZE, read, rows_of, write
from recurlight.data import SudokuData
from recurlight.data.sudoku.generate import SYMBOLS, make_puzzle
from recurlight.data.sudoku.make import token_arrays
from recurlight.errors import DataError


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train.csv", PAIRS[:30])
    write(tmp_path / "test.csv", PAIRS[30:])
    return tmp_path


def quoted(pair) -> str:
    return ",".join(f'"{grid}"' for grid in pair)


WILD = {
    "quizzes and solutions": "quizzes,solutions\n" + "\n".join(map(",".join, PAIRS)),
    "puzzle and solution": "id,puzzle,solution,clues\n" + "\n".join(f"7,{q},{a},3" for q, a in PAIRS),
    "capitals": "Puzzle, Solution\n" + "\n".join(map(",".join, PAIRS)),
    "no header": "\n".join(map(",".join, PAIRS)),
    "no header, more columns": "\n".join(f"{place},{q},{a},x" for place, (q, a) in enumerate(PAIRS)),
    "no header, a mark": "\ufeff" + "\r\n".join(map(",".join, PAIRS)),
    "quotes": "question,answer\r\n" + "\r\n".join(map(quoted, PAIRS)),
    "quotes without header": "\n".join(map(quoted, PAIRS)),
    "quoted header": '"question","answer"\n' + "\n".join(map(",".join, PAIRS)),
    "some quotes": "question,answer\n" + "\n".join([*map(quoted, PAIRS[:9]), *map(",".join, PAIRS[9:])]),
    "quotes around commas and lines": "note,question,answer\n"
    + "\n".join(f'"a, ""b""\nc",{q},{a}' for q, a in PAIRS),
    "zeros": "question,answer\n" + "\n".join(f"{q.replace('.', '0')},{a}" for q, a in PAIRS),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", WILD)
def test_files_as_they_are_found(tmp_path, case, packed):
    """Fails if a usual way of writing puzzles is refused, or read otherwise."""
    content = WILD[case].encode()
    name = "train.csv.gz" if packed else "train.csv"
    (tmp_path / name).write_bytes(gzip.compress(content, mtime=0) if packed else content)
    write(tmp_path / "test.csv", [make_puzzle(SIZE, 1, index) for index in range(3)])
    puzzles = read(tmp_path).train
    expected = {q.encode() + a.encode() for q, a in PAIRS}
    symbols = np.frombuffer(f"?{SYMBOLS}".encode(), dtype=np.uint8)
    found = {symbols[q].tobytes() + symbols[a].tobytes() for q, a in zip(*puzzles[:2], strict=True)}
    assert found == expected


def test_rows_are_counted_in_lines_of_the_file_whatever_stands_before(tmp_path):
    """Fails if a missing header or a field of two lines shifts the row that is named."""
    write(tmp_path / "test.csv", PAIRS[30:])
    for lines, row in (
        (["", f"{'x' * 36},{ANSWER}"], 2),
        (["note,question,answer", f'"a\nb",{QUESTION},{ANSWER}', f"c,{QUESTION},{'x' * 36}"], 4),
    ):
        lines[0] = lines[0] or f"{QUESTION},{ANSWER}"
        (tmp_path / "train.csv").write_text("\n".join(lines))
        with pytest.raises(DataError, match=f"train.csv, row {row}: (question|answer) has the character 'x'"):
            read(tmp_path)


PACKED = gzip.compress(("question,answer\n" + "\n".join(map(",".join, PAIRS))).encode(), mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PACKED[: len(PACKED) // 2], "no whole gzip file, it was cut off or damaged; copy it again"),
        (b"question,answer\n", "no whole gzip file, it was cut off or damaged; copy it again"),
        (PACKED[:40] + b"\xff" * 40 + PACKED[80:], "no whole gzip file, it was cut off or damaged"),
        (b"", "the file is empty"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
    ],
)
def test_a_damaged_packed_file_is_named(folder, content, message):
    """Fails if an error of gzip or zlib is shown."""
    (folder / "train.csv").unlink()
    (folder / "train.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match=rf"train\.csv\.gz: {message}"):
        read(folder)


def test_a_folder_in_place_of_a_file_and_two_files_for_one_part(folder):
    (folder / "train.csv.gz").write_bytes(PACKED)
    with pytest.raises(DataError, match=r"has train\.csv and train\.csv\.gz: remove one of them"):
        read(folder)
    (folder / "test.csv").unlink()
    (folder / "test.csv").mkdir()
    (folder / "train.csv.gz").unlink()
    with pytest.raises(DataError, match=r"test\.csv: no such file; set data\.path to a folder"):
        read(folder)


def test_one_file_is_divided_into_splits_that_share_nothing(tmp_path):
    """Fails if a file must be divided by hand, or test puzzles are trained on."""
    path = tmp_path / "sudoku.csv.gz"
    path.write_bytes(PACKED)
    splits = read(path, num_val=4, num_test=6)
    assert [len(split.inputs) for split in splits] == [30, 4, 6]
    assert len(set().union(*map(rows_of, splits))) == 40
    assert rows_of(read(path, num_test=6, seed=1).test) != rows_of(splits.test)
    with pytest.raises(DataError, match=r"is one file for all splits: set data\.num_test to a number"):
        read(path)


@pytest.mark.parametrize("name", ["questions.csv", "test.csv"])
def test_questions_alone_can_be_asked(tmp_path, name):
    """Fails if answers or training puzzles are needed, or rows are drawn in another order or left out."""
    grids = [question for question, _ in PAIRS[:5]]
    (tmp_path / name).write_text("\n".join(["puzzle,note", *(f"{grid},x" for grid in grids)]))
    path = str(tmp_path / name) if name == "questions.csv" else str(tmp_path)
    data = SudokuData(SIZE, "csv", path, batch_size=2)
    data.setup("predict")
    assert (data.splits.test.inputs == token_arrays(grids)).all()
    assert (
        torch.cat([batch.inputs for batch in data.predict_dataloader()]).tolist()
        == token_arrays(grids).tolist()
    )
    for stage, message in (("fit", "no training puzzles"), ("test", "cannot score test puzzle number 1")):
        with pytest.raises(DataError, match=f"SudokuData (has )?{message}"):
            data.setup(stage)
    (tmp_path / name).write_text("\n".join(grids))
    assert (SudokuData(SIZE, "csv", path).splits.test.inputs == token_arrays(grids)).all()


def test_questions_beside_a_training_file_are_not_trained_on(folder):
    """Fails if training takes a puzzle that is to be predicted."""
    (folder / "test.csv").write_text("\n".join(["question", *(question for question, _ in PAIRS[25:28])]))
    splits = read(folder)
    assert len(splits.train.inputs) == 27
    assert not rows_of(splits.train) & rows_of(splits.test)

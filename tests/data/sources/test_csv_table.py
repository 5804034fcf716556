"""Whatever is in a file of puzzles, the answer is puzzles or one error with the file and the row."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from recurlight import DataError, SudokuData
from recurlight.data.sudoku.rules import solved
from recurlight.types import IGNORE

SOLVED = "1234341221434321"
ROWS = [f"x,{SOLVED[:at]}.{SOLVED[at + 1 :]},{SOLVED},{at}" for at in range(16)]
BYTES = "\n".join(["source,question,answer,rating", *ROWS]).encode() + b"\n"
BOUNDED = settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def damages(draw):
    """The bytes of a file, with some of them lost, repeated, replaced or in another encoding."""
    kind = draw(st.sampled_from(["cut", "noise", "noise", "line", "encoding", "random"]))
    if kind == "random":
        return draw(st.binary(max_size=80))
    if kind == "encoding":
        text = BYTES.decode().replace("x,", draw(st.sampled_from(["é,", "日,", "x,", "\ufeff,"])))
        return text.encode(
            draw(st.sampled_from(["utf-16", "utf-32", "utf-8-sig", "latin-1", "cp500"])), "replace"
        )
    if kind == "line":
        lines = BYTES.splitlines(keepends=True)
        at, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        lines[at] = draw(
            st.sampled_from([b"", b"\n", lines[other], lines[at][:-1], lines[at][:-1] + b"\r\n", b",,,\n"])
        )
        return b"".join(lines)
    at = draw(st.integers(0, len(BYTES)))
    if kind == "cut":
        return draw(st.sampled_from([BYTES[:at], BYTES[at:]]))
    end = at + draw(st.sampled_from([0, 1, 3, 40]))
    return (
        BYTES[:at]
        + draw(st.binary(max_size=3) | st.sampled_from([b",", b"\n", b"\r", b'"', b"\0", b"5"]))
        + BYTES[end:]
    )


@BOUNDED
@given(damages(), st.sampled_from(["train.csv", "test.csv"]))
def test_a_damaged_file_gives_puzzles_or_names_its_row(tmp_path, content, damaged):
    """Fails if any damage raises another error, or gives puzzles that are none."""
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_bytes(content if name == damaged else BYTES)
    data = SudokuData(size=4, source="csv", path=str(tmp_path), num_train=None, num_val=0, num_test=None)
    splits, text = [], ""
    try:
        splits = data.load()
    except DataError as error:
        text = str(error)
    assert splits or re.fullmatch(f"{tmp_path / damaged}(, row \\d+: |: the file ).+", text)
    for number, puzzles in enumerate(splits):
        if number == 2 and (puzzles.labels == IGNORE).all():  # the column of answers lost its name
            continue
        assert solved(puzzles.labels, 4).all()
        assert ((puzzles.inputs == puzzles.labels) | (puzzles.inputs == 1)).all()

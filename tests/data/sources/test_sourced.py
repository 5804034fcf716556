"""What data from several sources have in common."""

from __future__ import annotations

import pytest

from recurlight import MazeData, SudokuData
from recurlight.spec import to_spec

COUNTS = {"num_train": 8, "num_val": 4, "num_test": 4}
CHANGES = {
    "fewer for the test": {"num_test": 2},
    "more for validation, as calibrate asks for": {"num_val": 7},
    "more for training": {"num_train": 10},
    "fewer for validation": {"num_val": 2},
    "fewer for training": {"num_train": 6},
    "fewer for training, whose place validation takes": {"num_train": 6, "num_val": 6},
}


@pytest.mark.parametrize("family", [SudokuData, MazeData])
@pytest.mark.parametrize("name", CHANGES)
def test_counts_are_told_of_where_a_part_has_what_one_before_it_had(family, name, tmp_path, monkeypatch):
    """Fails if fewer test puzzles are said to be trained on, or trained ones are asked without a word."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    size = {"size": 4 if family is SudokuData else 6}
    then, now = family(**size, **COUNTS), family(**size, **COUNTS | CHANGES[name])
    train, val, _ = ({bytes(row) for row in part.inputs} for part in then.splits)
    asked = [{bytes(row) for row in part.inputs} for part in now.splits[1:]]
    seen = bool(train & (asked[0] | asked[1]) or val & asked[1])
    told = now.divided_otherwise(*(to_spec(data)["init_args"] for data in (then, now)))
    assert told == ([one for one in CHANGES[name] if one != "num_test"] if seen else [])


def test_counts_of_files_divide_their_rows_anew():
    then = {"source": "csv", **COUNTS}
    assert SudokuData(size=4).divided_otherwise(then, then | {"num_test": 2}) == ["num_test"]

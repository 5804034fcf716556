"""The puzzles that a seed gives stay what they were: others would be none that were held out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from recurlight.data import (
    AdditionData,
    MazeData,
    ParityData,
    PermutationData,
    Puzzles,
    QueensData,
    ReversalData,
    SortingData,
    Splits,
    SudokuData,
    TableData,
    hold_out,
)

SMALL = {"length": 6, "min_length": 5, "eval_lengths": [6, 7], "num_train": 90, "num_val": 15, "num_test": 20}
COUNTS = {"num_train": 240, "num_val": 30, "num_test": 30}


def digest(splits: Splits) -> str:
    """A hash of all tokens, whatever their type."""
    fields = (np.asarray(field, dtype=np.int64) for part in splits for field in part)
    return hashlib.sha256(
        b"".join(repr(field.shape).encode() + field.tobytes() for field in fields)
    ).hexdigest()


def questions(count: int) -> list[list[int]]:
    """Questions of which some are asked twice, some five times."""
    return [[number % 50 * (number % 3 > 0), number // 7, 1] for number in range(count)]


def held_out(seed: int) -> Splits:
    rows = np.array(questions(160))
    return hold_out(Puzzles(rows, rows, np.arange(160) // 80), num_val=20, num_test=31, seed=seed)


def csv(folder: Path, single: bool) -> Splits:
    """Generated puzzles as files, every fifth of them twice, and some of the test's in training."""
    made = SudokuData(4, num_train=60, num_val=0, num_test=15).splits
    write = lambda tokens: "".join(".1234"[token - 1] for token in tokens)  # noqa: E731
    rows = [
        ",".join(map(write, pair))
        for part in made[::2]
        for pair in zip(part.inputs, part.labels, strict=True)
    ]
    files = {"train": [*rows[:60], *rows[:60:5], *rows[60:70]], "test": rows[60:]}
    for name, lines in files.items():
        (folder / f"{name}.csv").write_text("\n".join(["question,answer", *lines, ""]))
    path = str(folder / "train.csv") if single else str(folder)
    return SudokuData(4, "csv", path, num_train=20, num_val=12, num_test=9, seed=3).splits


def table(folder: Path) -> Splits:
    rows = [f"{a}{b},{b}{a}" for a, b, _ in questions(120)]
    (folder / "rows.csv").write_text("\n".join(["question,answer", *rows, ""]))
    return TableData(str(folder / "rows.csv"), num_val=12, num_test=17, seed=5).splits


@pytest.mark.parametrize(
    ("made", "known"),
    [
        (lambda: SudokuData(4, **COUNTS).splits, "0830b66adc543b23"),
        (lambda: SudokuData(6, num_train=40, num_val=5, num_test=5, seed=2).splits, "2c67a2f7a86f4eab"),
        (lambda: MazeData(6, min_path=1, **COUNTS).splits, "6a165d73bde8f25d"),
        (lambda: MazeData(9, num_train=30, num_val=3, num_test=7, seed=1).splits, "e7fd9fa31f824a5f"),
        (lambda: SortingData(**SMALL).splits, "1ca59e9f0559bb60"),
        (lambda: ReversalData(values=3, **SMALL).splits, "255b28a1a0981bbf"),
        (lambda: ParityData(length=5, num_train=500, num_val=8, num_test=12).splits, "5cf034be5d00b27e"),
        (
            lambda: ParityData(length=8, num_train=300, num_val=100, num_test=120, seed=4).splits,
            "a8038d83fecd3bc8",
        ),
        (lambda: PermutationData("S3", **SMALL, seed=7).splits, "9603008e5456c939"),
        (lambda: AdditionData(**SMALL).splits, "7b997776ee011ac3"),
        (
            lambda: QueensData(**SMALL | {"length": 8, "min_length": 8, "eval_lengths": [8, 9]}).splits,
            "d7bcbefe88581e52",
        ),
        (lambda: held_out(0), "d192524a260eafcc"),
        (lambda: held_out(1), "2623017bacbbd12e"),
    ],
)
def test_a_seed_gives_the_puzzles_that_it_gave(made, known):
    """Fails if anything of a draw is changed: batches, order, streams, or what counts as the same."""
    assert digest(made())[:16] == known


def test_files_are_drawn_as_they_were(tmp_path):
    """Fails if rows of files are taken in another order, or others are passed over."""
    found = [csv(tmp_path, single=False), csv(tmp_path, single=True), table(tmp_path)]
    assert [digest(splits)[:16] for splits in found] == [
        "2b716789d92aa921",
        "9592e6665d436e94",
        "1c54c77476bda87f",
    ]

"""Sudoku puzzles from CSV files: which rows are drawn, and what is checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recurlight.data.base import Splits
from recurlight.data.csv_table import GridTable, open_table
from recurlight.data.order import UInt64, counter_hash
from recurlight.data.stream import Puzzles
from recurlight.data.sudoku_generate import SYMBOLS
from recurlight.data.sudoku_rules import BLANK, contradicted, invariant, solved
from recurlight.errors import DataError

__all__ = ["read_puzzles", "read_splits"]

_UNKNOWN = 255
_BLOCK = 1 << 16
_TRAIN, _TEST = 2, 3  # streams of the seed


def read_puzzles(table: GridTable, rows: NDArray[np.int64], size: int) -> Puzzles:
    """Read and check some rows of a file.

    Args:
        table: The opened file.
        rows: Data rows counted from 0, `(n,)`.
        size: 4, 6, 9 or 16.

    Raises:
        DataError: A character is not a digit of that size, a clue differs from the answer, or the answer is
            not a solved Sudoku.
    """
    tokens = np.full(256, _UNKNOWN, dtype=np.uint8)
    tokens[np.frombuffer(SYMBOLS[: size + 1].encode(), dtype=np.uint8)] = np.arange(1, size + 2)
    tokens[ord("0")] = BLANK
    parts = []
    for at in range(0, max(len(rows), 1), _BLOCK):
        block = rows[at : at + _BLOCK]
        grids = [tokens[table.characters(column, block)] for column in (0, 1)]
        for column, name in enumerate(("question", "answer")):
            _check_alphabet(table, block, name, column, grids[column], size)
        _refuse(table, block, contradicted(*grids), "the answer contradicts a clue of the question")
        _refuse(table, block, ~solved(grids[1], size), "the answer is not a solved Sudoku")
        parts.append(grids)
    inputs, labels = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Puzzles(inputs, labels, np.zeros(len(rows), dtype=np.uint8))


def _check_alphabet(
    table: GridTable, rows: NDArray[np.int64], name: str, column: int, grid: NDArray[np.uint8], size: int
) -> None:
    unknown = grid == _UNKNOWN
    if unknown.any():
        place = int(np.flatnonzero(unknown.any(axis=1))[0])
        byte = table.characters(column, rows[place : place + 1])[0][unknown[place]][0]
        reason = f"{name} has the character {chr(byte)!r}; size {size} knows {SYMBOLS[: size + 1]} and 0"
        raise table.error(int(rows[place]), reason)


def _refuse(table: GridTable, rows: NDArray[np.int64], bad: NDArray[np.bool_], reason: str) -> None:
    if bad.any():
        raise table.error(int(rows[bad].min()), reason)


class _Draw:
    """Rows of a file in a seeded order, each read once and handed out at most once."""

    def __init__(self, table: GridTable, size: int, seed: int, stream: int) -> None:
        self.table = table
        self.size = size
        self.order = counter_hash(seed, stream, np.arange(table.rows)).argsort(kind="stable")

    def take(self, count: int, avoid: UInt64) -> Puzzles:
        """Take the next `count` puzzles (or all that are left) whose class is not in `avoid`."""
        parts = [read_puzzles(self.table, self.order[:0], self.size)]
        missing = count
        while missing and len(self.order):
            rows, self.order = self.order[:missing], self.order[missing:]
            puzzles = read_puzzles(self.table, rows, self.size)
            if len(avoid):
                kept = np.flatnonzero(~np.isin(invariant(puzzles.inputs, self.size), avoid))
                puzzles = puzzles.rows(kept)
            parts.append(puzzles)
            missing -= len(puzzles.inputs)
        return Puzzles(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def _insist(puzzles: Puzzles, count: int | None, table: GridTable, name: str) -> Puzzles:
    """Refuse a split that is smaller than asked for."""
    found = len(puzzles.inputs)
    if count is not None and found < count:
        raise DataError(
            f"{table.path}: {found} usable rows for {name}={count}; set data.{name} to {found} or less"
        )
    return puzzles


def read_splits(
    folder: Path, size: int, *, num_train: int | None, num_val: int, num_test: int | None, seed: int
) -> Splits:
    """Draw training and validation puzzles from `train.csv` and test puzzles from `test.csv`.

    Training and validation rows equal up to symmetry to a test puzzle are passed over, and so are rows of
    one that equal a row of the other. Changing `num_val` does not change the training puzzles, unless
    `num_train` is None: training then takes all that validation leaves.

    Args:
        folder: Folder with both files.
        size: 4, 6, 9 or 16.
        num_train: Training puzzles; None for all.
        num_val: Validation puzzles.
        num_test: Test puzzles; None for all, in the file's order.
        seed: Seed of the draw.

    Raises:
        DataError: With file, row and reason.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; set data.path to one with train.csv and test.csv")
    train_table, test_table = (open_table(folder / f"{part}.csv", size * size) for part in ("train", "test"))
    test = _test(test_table, size, num_test, seed)
    avoid = invariant(test.inputs, size)
    draw = _Draw(train_table, size, seed, _TRAIN)
    parts = {}
    wanted = [("num_train", num_train), ("num_val", num_val)]
    for name, count in wanted if num_train is not None else wanted[::-1]:
        taken = draw.take(train_table.rows if count is None else count, avoid)
        parts[name] = _insist(taken, count, train_table, name)
        avoid = np.concatenate([avoid, invariant(taken.inputs, size)])
    return Splits(parts["num_train"], parts["num_val"], test)


def _test(table: GridTable, size: int, count: int | None, seed: int) -> Puzzles:
    if count is None:
        return read_puzzles(table, np.arange(table.rows), size)
    draw = _Draw(table, size, seed, _TEST)
    return _insist(draw.take(count, np.zeros(0, dtype=np.uint64)), count, table, "num_test")

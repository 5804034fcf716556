"""Which rows of CSV files become which split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recurlight.data.base import Splits
from recurlight.data.counter import UInt64, counter_hash
from recurlight.data.puzzles import Puzzles
from recurlight.data.sources.csv_table import GridTable, open_table
from recurlight.data.sources.source_files import missing, part_file
from recurlight.errors import DataError

__all__ = ["Identity", "Reader", "draw_splits"]

Reader = Callable[[GridTable, NDArray[np.int64]], Puzzles]
"""Reads and checks the rows of a file with the given numbers."""
Identity = Callable[[NDArray[np.uint8]], UInt64]
"""Hashes questions so that those which are the same up to symmetry have equal hashes."""

_TRAIN, _TEST = 2, 3  # streams of the seed
_ADVICE = "set data.path to a folder with train.csv and test.csv, or to one file for all"


class _Draw:
    """Rows of a file in a seeded order, each read once and handed out at most once."""

    def __init__(self, table: GridTable, read: Reader, identity: Identity, seed: int, stream: int) -> None:
        self.table, self.read, self.identity = table, read, identity
        self.order = counter_hash(seed, stream, np.arange(table.rows)).argsort(kind="stable")

    def take(self, count: int, avoid: UInt64) -> Puzzles:
        """Take the next `count` puzzles (or all that are left) whose identity is not in `avoid`."""
        parts = [self.read(self.table, self.order[:0])]
        missing = count
        while missing and len(self.order):
            rows, self.order = self.order[:missing], self.order[missing:]
            puzzles = self.read(self.table, rows)
            if len(avoid):
                kept = np.flatnonzero(~np.isin(self.identity(puzzles.inputs), avoid))
                puzzles = puzzles.rows(kept)
            parts.append(puzzles)
            missing -= len(puzzles.inputs)
        return Puzzles(*(np.concatenate(field) for field in zip(*parts, strict=True)))

    def insist(self, count: int | None, avoid: UInt64, name: str) -> Puzzles:
        """Take `count` puzzles, all for None, and refuse to take fewer."""
        puzzles = self.take(self.table.rows if count is None else count, avoid)
        found = len(puzzles.inputs)
        if count is not None and found < count:
            raise DataError(
                f"{self.table.path}: {found} usable rows for {name}={count}; "
                f"set data.{name} to {found} or less"
            )
        return puzzles


def draw_splits(
    path: Path,
    length: int,
    read: Reader,
    identity: Identity,
    counts: tuple[int | None, int, int | None],
    seed: int,
) -> Splits:
    """Draw training and validation puzzles from `train.csv` and test puzzles from `test.csv`.

    Training and validation rows with the identity of a test puzzle are passed over, and so are rows of one
    with that of a row of the other. Changing the number of validation puzzles does not change the training
    puzzles, unless training takes all that validation leaves. A folder without `train.csv` has neither. Of a
    single file all three are drawn.

    Args:
        path: Folder with the files, or one file.
        length: Characters of a grid.
        read: Reads rows.
        identity: What must not repeat over splits.
        counts: Training puzzles, None for all; validation puzzles; test puzzles, None for all, in the file's
            order. Questions without answers are all taken, in that order, whatever the counts say.
        seed: Seed of the draw.

    Raises:
        DataError: With file, row and reason.
    """
    train_table, test_table = _tables(path, length)
    num_train, num_val, num_test = counts
    test = _test(train_table, test_table, read, identity, num_test, seed)
    if train_table is None:
        nothing = read(test_table, np.arange(0))
        return Splits(nothing, nothing, test)
    avoid = identity(test.inputs)
    draw = _Draw(train_table, read, identity, seed, _TRAIN)
    parts = {}
    wanted = [("num_train", num_train), ("num_val", num_val)]
    for name, count in wanted if num_train is not None else wanted[::-1]:
        parts[name] = draw.insist(count, avoid, name)
        avoid = np.concatenate([avoid, identity(parts[name].inputs)])
    return Splits(parts["num_train"], parts["num_val"], test)


def _test(
    train_table: GridTable | None,
    test_table: GridTable,
    read: Reader,
    identity: Identity,
    count: int | None,
    seed: int,
) -> Puzzles:
    """Take the test puzzles: all, or a draw."""
    if not test_table.answered or (count is None and test_table is not train_table):
        return read(test_table, np.arange(test_table.rows))
    if count is None:
        raise DataError(
            f"{test_table.path} is one file for all splits: set data.num_test to a number of rows to hold out"
        )
    nothing = np.zeros(0, dtype=np.uint64)
    return _Draw(test_table, read, identity, seed, _TEST).insist(count, nothing, "num_test")


def _tables(path: Path, length: int) -> tuple[GridTable | None, GridTable]:
    """Open the files of training and test; training needs answers, and may be missing."""
    if path.is_file():
        table = open_table(path, length)
        return table if table.answered else None, table
    if not path.is_dir():
        raise missing(path, _ADVICE)
    train, test = (part_file(path, part, [".csv"]) for part in ("train", "test"))
    if test is None:
        raise DataError(f"{path / 'test.csv'}: no such file; {_ADVICE}")
    train_table = open_table(train, length) if train else None
    if train_table is not None and not train_table.answered:
        raise DataError(f"{train}, row 1: no column answer, and there is nothing to learn without answers")
    return train_table, open_table(test, length)

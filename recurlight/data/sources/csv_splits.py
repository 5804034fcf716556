"""Which rows of CSV files become which split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recurlight.data.base import Splits
from recurlight.data.counter import UInt64, shuffled
from recurlight.data.puzzles import Puzzles
from recurlight.data.sources.csv_table import GridTable, open_table
from recurlight.data.sources.source_files import missing, part_file
from recurlight.data.split import Deck
from recurlight.errors import DataError

__all__ = ["Identity", "Reader", "draw_splits"]

Reader = Callable[[GridTable, NDArray[np.int64]], Puzzles]
"""Reads and checks the rows of a file with the given numbers."""
Identity = Callable[[NDArray[np.uint8]], UInt64]
"""Hashes questions so that those which are the same up to symmetry have equal hashes."""

_TRAIN, _TEST = 2, 3  # streams of the seed
_ADVICE = "set data.path to a folder with train.csv and test.csv, or to one file for all"


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
    test = _test(train_table, test_table, read, num_test, seed)
    if train_table is None:
        nothing = read(test_table, np.arange(0))
        return Splits(nothing, nothing, test)
    order = shuffled(seed, _TRAIN, train_table.rows)
    deck = Deck(
        lambda numbers: read(train_table, order[numbers.start : numbers.stop]),
        lambda puzzles: identity(puzzles.inputs),
        total=train_table.rows,
        taken=identity(test.inputs),
    )
    # Training comes first, so that num_val does not change it; where it takes all the rest, it comes last.
    wanted = {"train": num_train, "val": num_val}
    parts = {}
    for part in ("train", "val") if num_train is not None else ("val", "train"):
        count = wanted[part]
        parts[part] = deck.deal(train_table.rows if count is None else count, once=False)
        _require(train_table, len(parts[part].inputs), f"num_{part}", count)
    return Splits(parts["train"], parts["val"], test)


def _test(
    train_table: GridTable | None, test_table: GridTable, read: Reader, count: int | None, seed: int
) -> Puzzles:
    """Take the test puzzles: all, or a draw."""
    if not test_table.answered or (count is None and test_table is not train_table):
        return read(test_table, np.arange(test_table.rows))
    if count is None:
        raise DataError(
            f"{test_table.path} is one file for all splits: set data.num_test to a number of rows to hold out"
        )
    _require(test_table, test_table.rows, "num_test", count)
    return read(test_table, shuffled(seed, _TEST, test_table.rows)[:count])


def _require(table: GridTable, found: int, name: str, count: int | None) -> None:
    """Refuse to take fewer rows than were asked for."""
    if count is not None and found < count:
        raise DataError(
            f"{table.path}: {found} usable rows for {name}={count}; set data.{name} to {found} or less"
        )


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

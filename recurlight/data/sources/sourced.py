"""Square puzzles that are generated here, read from CSV files, or downloaded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurlight.data.base import PuzzleData, Splits
from recurlight.data.counter import UInt64
from recurlight.data.puzzles import Puzzles
from recurlight.data.sources.csv_splits import draw_splits
from recurlight.data.sources.csv_table import GridTable
from recurlight.data.sources.generated import check_counts
from recurlight.data.sources.hub import download
from recurlight.errors import DataError

__all__ = ["Counts", "Published", "SourcedData"]

Counts = tuple[int | None, int, int | None]
"""Training puzzles, None for all of the file; validation puzzles; test puzzles, None for all of the file."""


_BEFORE = ("num_train", "num_val")
"""Counts by which validation and test begin."""


class Published(NamedTuple):
    """A data set of the hub that has `train.csv` and `test.csv`."""

    repository: str
    size: int


class SourcedData(PuzzleData):
    """Square puzzles from the source that a flag names.

    A family supplies `published`, `generate`, `read` and `identity`.

    Args:
        size: Cells of a row.
        vocab_size: Vocabulary, the pad token 0 included.
        source: `generated`, `csv` or `hub`.
        path: CSV file or folder of CSV files, for `csv` only.
        counts: Puzzles of each split.
        batch_size: Samples of a global training batch, divided over the ranks.
        settings: Those of `PuzzleData`.

    Raises:
        DataError: A source or a count cannot be used.
    """

    split_by = ("seed", "num_train", "num_val", "num_test")

    published: ClassVar[Published]
    """What `source hub` downloads."""

    def __init__(
        self,
        *,
        size: int,
        vocab_size: int,
        source: str,
        path: str | None,
        counts: Counts,
        batch_size: int = 768,
        **settings: Any,
    ) -> None:
        size = int(size)
        check_counts(**dict(zip(("num_train", "num_val", "num_test"), counts, strict=True)))
        super().__init__(
            vocab_size=vocab_size, grid_shape=(size, size), num_tasks=1, batch_size=batch_size, **settings
        )
        self.size = size
        self.path = path
        self.counts = counts
        self.num_train, self.num_val, self.num_test = counts
        sources = {"generated": self._generated, "csv": self._csv, "hub": self._hub}
        if source not in sources:
            raise DataError(f"source is {source!r}: set data.source to generated, csv or hub")
        if path is not None and source != "csv":
            raise DataError(
                f"path is {path} and source is {source}, which reads no files: set data.source to csv, or "
                "data.path to null"
            )
        self.load_source = sources[source]

    @abstractmethod
    def generate(self, counts: tuple[int, int, int]) -> Splits:
        """Make the puzzles, or take them from the cache."""

    @abstractmethod
    def read(self, table: GridTable, rows: NDArray[np.int64]) -> Puzzles:
        """Read and check the rows of a file with the given numbers, `(n,)`, counted from 0."""

    @abstractmethod
    def identity(self, questions: NDArray[np.uint8]) -> UInt64:
        """Hash questions, `(n, L)`, so that those which are the same up to symmetry have equal hashes."""

    def divided_otherwise(self, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
        """Name what divides puzzles; those generated stand in one row, training, validation, test.

        So only a part that begins sooner than it did asks what the parts before it had.
        """
        found = super().divided_otherwise(then, now)
        generated = all(
            made.get("source") == "generated" and {*_BEFORE} <= made.keys() for made in (then, now)
        )
        if not generated:
            return found
        begin, began = (np.cumsum([made[name] for name in _BEFORE]) for made in (now, then))
        harmless = {"num_test"} if (begin < began).any() else {"num_test", *_BEFORE}
        return [name for name in found if name not in harmless]

    def load(self) -> Splits:
        """Return the splits of the chosen source."""
        return self.load_source()

    def _generated(self) -> Splits:
        num_train, num_val, num_test = self.counts
        if num_train is None or num_test is None:
            raise DataError("source generated needs counts: set data.num_train and data.num_test to numbers")
        return self.generate((num_train, num_val, num_test))

    def _csv(self) -> Splits:
        if self.path is None:
            raise DataError(
                "source csv needs a file or folder: set data.path to one file, or to a folder with train.csv "
                "and test.csv"
            )
        return self._read(Path(self.path))

    def _hub(self) -> Splits:
        size = self.published.size
        if self.size != size:
            raise DataError(
                f"the hub's puzzles are {size} x {size}, size is {self.size}: set data.size to {size}"
            )
        return self._read(download(self.published.repository))

    def _read(self, path: Path) -> Splits:
        return draw_splits(path, self.seq_len, self.read, self.identity, self.counts, self.seed)

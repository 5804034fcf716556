"""Sudoku of 4 x 4 to 16 x 16."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recurlight.data.base import Splits
from recurlight.data.counter import UInt64
from recurlight.data.puzzles import Augmentation, Puzzles
from recurlight.data.sources.csv_table import GridTable
from recurlight.data.sources.sourced import Published, SourcedData
from recurlight.data.sudoku.augment import augment as sudoku_augment
from recurlight.data.sudoku.augment import in_turn, reveal, symmetry
from recurlight.data.sudoku.generate import BOXES, SYMBOLS
from recurlight.data.sudoku.grades import exact_by_guesses
from recurlight.data.sudoku.make import generated
from recurlight.data.sudoku.read import read_puzzles
from recurlight.data.sudoku.rules import BLANK, SudokuRules, invariant
from recurlight.data.symmetry import SymmetryGroup
from recurlight.errors import DataError
from recurlight.metrics.task import TaskMetric
from recurlight.rendering.looks import Looks, rgb
from recurlight.rendering.wording import Wording

__all__ = ["SudokuData"]


class SudokuData(SourcedData):
    """Sudoku puzzles, generated here, read from CSV files, or downloaded.

    Tokens: 0 pad, 1 blank, 2 and up the digits. Every cell of the answer is supervised.

    - `generated`: puzzles with one solution, minimal up to size 9, made on all cores on first use and kept
      in `$RECURLIGHT_CACHE`, `$XDG_CACHE_HOME/recurlight` or `~/.cache/recurlight`, the first that is set.
      From size 6 no two puzzles are equal up to symmetry. A thousand puzzles take a core 0.3 s in size 4,
      1 s in size 6, 10 s in size 9, 8 minutes in size 16.
    - `csv`: `train.csv` and `test.csv` of the folder `path`, or one file of which all splits are drawn,
      packed or not (`.csv.gz`). Two columns are needed, `question` and `answer` (or `puzzle` and `solution`,
      `quizzes` and `solutions`), or none of them named and two of the length of a grid; `.` or `0` for an
      empty cell. Training and validation rows are a seeded draw without rows that equal a test puzzle, or
      each other's, up to symmetry. Test rows stay as they are. Every row's columns and lengths are checked,
      and the contents of the rows drawn. Questions without answers, as `test.csv` or as a file of their own,
      can be predicted: all of them, in their order, and no `train.csv` is needed.
    - `hub`: Sudoku-Extreme (`sapientinc/sudoku-extreme`), downloaded once and then as `csv`.

    Augmentation draws from every symmetry of the grid for each sample anew; the published runs draw 1,000
    variants of each puzzle beforehand.

    Args:
        size: Cells of a row. Boxes of size 6 have 2 rows and 3 columns.
        source: Where the puzzles come from.
        path: Folder of the CSV files, or one file, for `csv` only.
        num_train: Training puzzles; None for all rows of the file.
        num_val: Validation puzzles, drawn beside the training puzzles.
        num_test: Test puzzles; None for all rows of the file.
        augment: Vary the training puzzles.
        digits: Digits of the vocabulary, `size` to 16; None for `size`. With more, a model can move to larger
            sizes, and augmentation relabels puzzles with digits from all of them.
        grades: Tell accuracy apart by the guesses that a solver needs, up to size 9.
        reveal: Fill in blanks of training puzzles, of each a share from 0 to this, most often a small one:
            easier puzzles beside the hard ones, with the same solutions.
        settings: Those of `PuzzleData`, such as `batch_size`, here 768 by default, and `seed`, also of the
            puzzles and of their draw.

    Raises:
        DataError: An argument or a file cannot be used.

    Example:
        >>> data = SudokuData(size=4, num_train=20, num_val=4, num_test=4, batch_size=8)
        >>> data.vocab_size, data.seq_len
        (6, 16)

    Reference:
        The task of HRM (arXiv:2506.21734) and TRM (arXiv:2510.04871).
    """

    published = Published("sapientinc/sudoku-extreme", 9)

    def __init__(
        self,
        size: Literal[4, 6, 9, 16] = 9,
        source: Literal["generated", "csv", "hub"] = "generated",
        path: str | None = None,
        num_train: int | None = 1000,
        num_val: int = 200,
        num_test: int | None = 1000,
        augment: bool = True,
        digits: int | None = None,
        grades: bool = False,
        reveal: float = 0.0,
        **settings: Any,
    ) -> None:
        if size not in BOXES:
            raise DataError(f"size is {size}: set data.size to 4, 6, 9 or 16")
        digits = size if digits is None else digits
        if not size <= digits <= max(BOXES):
            raise DataError(f"digits is {digits}: set data.digits from {size} to {max(BOXES)}")
        super().__init__(
            size=size,
            vocab_size=digits + 2,
            source=source,
            path=path,
            counts=(num_train, num_val, num_test),
            **settings,
        )
        if not 0 <= reveal <= 1:
            raise DataError(f"reveal is {reveal}: set data.reveal to a share of the blanks, 0 to 1")
        if grades and size > 9:
            raise DataError("grades are on in size 16, where they take hours: set data.grades to false")
        self.boxes, self.grades = BOXES[self.size], grades
        self.augment, self.reveal = augment, reveal

    def generate(self, counts: tuple[int, int, int]) -> Splits:
        """Make puzzles with one solution."""
        return generated(self.size, self.seed, counts)

    def read(self, table: GridTable, rows: NDArray[np.int64]) -> Puzzles:
        """Read and check puzzles and their solutions."""
        return read_puzzles(table, rows, self.size)

    def identity(self, questions: NDArray[np.uint8]) -> UInt64:
        """Hash puzzles up to every symmetry of the grid."""
        return invariant(questions, self.size)

    def augmentation(self) -> Augmentation | None:
        """Return what varies training puzzles: the symmetries of this size, then `reveal`; or None."""
        moved = [partial(sudoku_augment, size=self.size, digits=self.vocab_size - 2)] * self.augment
        filled = [partial(reveal, most=self.reveal)] * (self.reveal > 0)
        return partial(in_turn, steps=moved + filled) if moved + filled else None

    def task_metric(self, split: str) -> TaskMetric | None:
        """Measure accuracy by the guesses that a solver needs, if `grades` is on."""
        return exact_by_guesses(self.size) if self.grades else None

    def symmetry_group(self) -> SymmetryGroup:
        """Return the symmetries of this size, by which training is augmented."""
        return partial(symmetry, size=self.size, digits=self.vocab_size - 2)

    def rules(self) -> SudokuRules:
        """Return the rules of Sudoku: clues stay, and every row, column and box holds each digit once."""
        return SudokuRules(self.size)

    def wording(self) -> Wording:
        """Digits row by row, `.` or `0` for an empty cell."""
        return Wording.of(self.looks, self.vocab_size, also={"0": BLANK}, unasked=(0,))

    @cached_property
    def looks(self) -> Looks:
        """Boxes are ruled, blanks are dots, digits above 9 are letters; in pictures all on white.

        Example:
            >>> print(SudokuData(size=4).render([2, 1, 4, 5, 1, 1, 3, 2, 1, 2, 1, 1, 5, 1, 1, 3]))
            1 . | 3 4
            . . | 2 1
            ----+----
            . 1 | . .
            4 . | . 2
        """
        marks = ("", "", *SYMBOLS[1:])
        return Looks(self.grid_shape, " " + SYMBOLS, colors=rgb("#ffffff"), marks=marks, boxes=self.boxes)

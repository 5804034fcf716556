"""Square mazes with a long shortest path."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recurlight.data.base import Splits
from recurlight.data.counter import UInt64
from recurlight.data.maze.generate import SYMBOLS
from recurlight.data.maze.make import generated
from recurlight.data.maze.metric import MazePaths
from recurlight.data.maze.read import read_mazes
from recurlight.data.maze.rules import GOAL, PATH, START, MazeRules, invariant, symmetry
from recurlight.data.maze.rules import augment as maze_augment
from recurlight.data.puzzles import Augmentation, Puzzles
from recurlight.data.sources.csv_table import GridTable
from recurlight.data.sources.sourced import Published, SourcedData
from recurlight.data.symmetry import SymmetryGroup
from recurlight.errors import DataError
from recurlight.rendering.looks import Looks, rgb
from recurlight.rendering.wording import Wording

__all__ = ["MazeData"]

_SIZES = range(6, 65)
_PALETTE = rgb("#9aa0a6", "#3c4250", "#f6f5f0", "#5cc98b", "#7fb0ff", "#f2b134")
_MARKS = ("", "", "", "S", "G", "")


class MazeData(SourcedData):
    """Mazes and their shortest paths, generated here, read from CSV files, or downloaded.

    Tokens: 0 pad, 1 wall, 2 open, 3 start, 4 goal, 5 path. The answer is the question with the cells of one
    shortest path; every cell is supervised. No maze is in two splits, not even turned or mirrored.

    - `generated`: corridors one cell wide with a few loops, made on all cores on first use and kept in
      `$RECURLIGHT_CACHE`, `$XDG_CACHE_HOME/recurlight` or `~/.cache/recurlight`, the first that is set. A
      thousand mazes of 30 x 30 take a core 4 s.
    - `csv`: files as `SudokuData` reads them, cells in the characters `# SGo`. Every row's columns and
      lengths are checked, and the contents of the rows drawn: one start, one goal, and an answer that is the
      same maze with a path between them. Mazes without answers can be predicted.
    - `hub`: Maze-Hard (`sapientinc/maze-30x30-hard-1k`), downloaded once and then as `csv`.

    Validation and test also measure whether the predicted path is valid and whether it is a shortest one,
    see `MazePaths`: where a maze has several shortest paths, exact accuracy counts only the one in the file.

    Args:
        size: Rows and columns, 6 to 64.
        source: Where the mazes come from.
        path: Folder of the CSV files, or one file, for `csv` only.
        min_path: Least number of steps from start to goal, for `generated` only; None for more than 11 to 90
            cells, which is more than 110 in 30 x 30.
        num_train: Training mazes; None for all rows of the file.
        num_val: Validation mazes, drawn beside the training mazes.
        num_test: Test mazes; None for all rows of the file.
        augment: Turn and mirror the training mazes.
        settings: Those of `PuzzleData`, such as `batch_size`, here 768 by default, and `seed`, also of the
            mazes and of their draw.

    Raises:
        DataError: An argument or a file cannot be used.

    Example:
        >>> data = MazeData(size=8, num_train=20, num_val=4, num_test=4, batch_size=8)
        >>> data.vocab_size, data.seq_len, data.min_path
        (6, 64, 8)

    Reference:
        The task of HRM (arXiv:2506.21734) and TRM (arXiv:2510.04871).
    """

    published = Published("sapientinc/maze-30x30-hard-1k", 30)

    def __init__(
        self,
        size: int = 30,
        source: Literal["generated", "csv", "hub"] = "generated",
        path: str | None = None,
        min_path: int | None = None,
        num_train: int | None = 1000,
        num_val: int = 200,
        num_test: int | None = 1000,
        augment: bool = True,
        **settings: Any,
    ) -> None:
        if size not in _SIZES:
            raise DataError(f"size is {size}: set data.size between {_SIZES[0]} and {_SIZES[-1]}")
        super().__init__(
            size=size,
            vocab_size=len(SYMBOLS) + 1,
            source=source,
            path=path,
            counts=(num_train, num_val, num_test),
            **settings,
        )
        self.min_path = 11 * size * size // 90 + 1 if min_path is None else min_path
        if self.min_path < 1:
            raise DataError(f"min_path is {min_path}: set data.min_path to 1 or more")
        self.augment = augment

    def generate(self, counts: tuple[int, int, int]) -> Splits:
        """Make mazes with paths of at least `min_path` steps."""
        return generated(self.size, self.min_path, self.seed, counts)

    def read(self, table: GridTable, rows: NDArray[np.int64]) -> Puzzles:
        """Read and check mazes and their paths."""
        return read_mazes(table, rows)

    def identity(self, questions: NDArray[np.uint8]) -> UInt64:
        """Hash mazes up to turning and mirroring."""
        return invariant(questions, self.size)

    def augmentation(self) -> Augmentation | None:
        """Return the symmetries of the square, or None if `augment` is off."""
        return partial(maze_augment, size=self.size) if self.augment else None

    def symmetry_group(self) -> SymmetryGroup:
        """Return the symmetries of the square, by which training is augmented.

        Start and goal could be exchanged too; no model has seen that in training, so search leaves it.
        """
        return partial(symmetry, size=self.size)

    def rules(self) -> MazeRules:
        """Return the rules of mazes: the maze stays, and a shortest path joins start and goal."""
        return MazeRules()

    def task_metric(self, split: str) -> MazePaths:
        """Return the shares of valid and of shortest paths."""
        return MazePaths()

    def wording(self) -> Wording:
        """The characters of the files, row by row."""
        return Wording.of(self.looks, self.vocab_size, unasked=(0, PATH), once=(START, GOAL))

    @cached_property
    def looks(self) -> Looks:
        """The characters of the files, `?` for a pad; walls dark, start green, goal blue, the path amber.

        Example:
            >>> print(MazeData(size=6).render([1] * 6 + [3, 5, 5, 1, 2, 1] + [1, 2, 5, 5, 4, 1] + [1] * 18))
            ######
            Soo# #
            # ooG#
            ######
            ######
            ######
        """
        return Looks(self.grid_shape, "?" + SYMBOLS, gap="", colors=_PALETTE, marks=_MARKS)

"""Data: puzzles parsed or generated, and the one pipeline that feeds them to every model."""

from recurlight.data.arc.data import ArcData
from recurlight.data.base import PuzzleData, Splits
from recurlight.data.counter import draws
from recurlight.data.heat.data import HeatData
from recurlight.data.maze.data import MazeData
from recurlight.data.puzzles import Augmentation, Puzzles, Variants
from recurlight.data.rules import Rules
from recurlight.data.sequences import (
    AdditionData,
    ParityData,
    PermutationData,
    QueensData,
    Questions,
    ReversalData,
    SequenceData,
    SortingData,
)
from recurlight.data.split import hold_out
from recurlight.data.sudoku.data import SudokuData
from recurlight.data.symmetry import Symmetry, SymmetryGroup
from recurlight.data.table.data import TableData

__all__ = [
    "AdditionData",
    "ArcData",
    "Augmentation",
    "HeatData",
    "MazeData",
    "ParityData",
    "PermutationData",
    "PuzzleData",
    "Puzzles",
    "QueensData",
    "Questions",
    "ReversalData",
    "Rules",
    "SequenceData",
    "SortingData",
    "Splits",
    "SudokuData",
    "Symmetry",
    "SymmetryGroup",
    "TableData",
    "Variants",
    "draws",
    "hold_out",
]

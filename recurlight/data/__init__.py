"""Data: puzzles parsed or generated, and the one pipeline that feeds them to every model."""

from recurlight.data.arc import ArcData
from recurlight.data.base import PuzzleData, Splits
from recurlight.data.maze import MazeData
from recurlight.data.order import draws
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
from recurlight.data.stream import Augmentation, Puzzles, Variants
from recurlight.data.sudoku import SudokuData
from recurlight.data.table import TableData

__all__ = [
    "AdditionData",
    "ArcData",
    "Augmentation",
    "MazeData",
    "ParityData",
    "PermutationData",
    "PuzzleData",
    "Puzzles",
    "QueensData",
    "Questions",
    "ReversalData",
    "SequenceData",
    "SortingData",
    "Splits",
    "SudokuData",
    "TableData",
    "Variants",
    "draws",
    "hold_out",
]

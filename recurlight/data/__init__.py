"""Data: puzzles parsed or generated, and the one pipeline that feeds them to every model."""

from recurlight.data.arc import ArcData
from recurlight.data.base import PuzzleData
from recurlight.data.sudoku import SudokuData

__all__ = ["ArcData", "PuzzleData", "SudokuData"]

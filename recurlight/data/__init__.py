"""Data: puzzles parsed or generated, and the one pipeline that feeds them to every model."""

from recurlight.data.base import PuzzleData
from recurlight.data.maze import MazeData
from recurlight.data.sudoku import SudokuData

__all__ = ["MazeData", "PuzzleData", "SudokuData"]

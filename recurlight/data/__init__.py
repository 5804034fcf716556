"""Data: puzzles parsed or generated, and the one pipeline that feeds them to every model.

Names load on first use: the rules of a task are of use where neither its puzzles nor Lightning are.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurlight.data.arc.data import ArcData
    from recurlight.data.base import PuzzleData
    from recurlight.data.counter import draws
    from recurlight.data.gym import AnswerScores, ReasoningGymData
    from recurlight.data.heat.data import HeatData
    from recurlight.data.maze.data import MazeData
    from recurlight.data.maze.rules import MazeRules
    from recurlight.data.puzzles import Augmentation, Puzzles, Splits, Variants
    from recurlight.data.rules import Rules
    from recurlight.data.sequences.addition import AdditionData
    from recurlight.data.sequences.base import Questions, SequenceData
    from recurlight.data.sequences.groups import PermutationData
    from recurlight.data.sequences.lists import ParityData, ReversalData, SortingData
    from recurlight.data.sequences.queens import QueensData
    from recurlight.data.sequences.rules import AdditionRules, QueensRules, SortingRules
    from recurlight.data.split import hold_out
    from recurlight.data.sudoku.data import SudokuData
    from recurlight.data.sudoku.rules import SudokuRules
    from recurlight.data.symmetry import Symmetry, SymmetryGroup
    from recurlight.data.table.data import TableData
    from recurlight.data.text import BitsPerByte, TextData

# fmt: off
_HOMES = {
    "arc.data": ("ArcData",),
    "base": ("PuzzleData",),
    "counter": ("draws",),
    "gym": ("AnswerScores", "ReasoningGymData"),
    "heat.data": ("HeatData",),
    "maze.data": ("MazeData",),
    "maze.rules": ("MazeRules",),
    "puzzles": ("Augmentation", "Puzzles", "Splits", "Variants"),
    "rules": ("Rules",),
    "sequences.addition": ("AdditionData",),
    "sequences.base": ("Questions", "SequenceData"),
    "sequences.groups": ("PermutationData",),
    "sequences.lists": ("ParityData", "ReversalData", "SortingData"),
    "sequences.queens": ("QueensData",),
    "sequences.rules": ("AdditionRules", "QueensRules", "SortingRules"),
    "split": ("hold_out",),
    "sudoku.data": ("SudokuData",),
    "sudoku.rules": ("SudokuRules",),
    "symmetry": ("Symmetry", "SymmetryGroup"),
    "table.data": ("TableData",),
    "text": ("BitsPerByte", "TextData"),
}
# fmt: on

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AdditionData",
    "AdditionRules",
    "AnswerScores",
    "ArcData",
    "Augmentation",
    "BitsPerByte",
    "HeatData",
    "MazeData",
    "MazeRules",
    "ParityData",
    "PermutationData",
    "PuzzleData",
    "Puzzles",
    "QueensData",
    "QueensRules",
    "Questions",
    "ReasoningGymData",
    "ReversalData",
    "Rules",
    "SequenceData",
    "SortingData",
    "SortingRules",
    "Splits",
    "SudokuData",
    "SudokuRules",
    "Symmetry",
    "SymmetryGroup",
    "TableData",
    "TextData",
    "Variants",
    "draws",
    "hold_out",
]


def __getattr__(name: str) -> Any:
    """Load a name on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'recurlight.data' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"recurlight.data.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value

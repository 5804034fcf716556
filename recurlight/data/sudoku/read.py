"""Sudoku puzzles from CSV files: what is checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recurlight.data.puzzles import Puzzles
from recurlight.data.sources.csv_table import GridTable
from recurlight.data.stream import answered
from recurlight.data.sudoku.generate import SYMBOLS
from recurlight.data.sudoku.rules import BLANK, contradicted, solved

__all__ = ["read_puzzles"]

_UNKNOWN = 255
_BLOCK = 1 << 16


def read_puzzles(table: GridTable, rows: NDArray[np.int64], size: int) -> Puzzles:
    """Read and check some rows of a file; where it has no answers, nothing is supervised.

    Args:
        table: The opened file.
        rows: Data rows counted from 0, `(n,)`.
        size: 4, 6, 9 or 16.

    Raises:
        DataError: A character is not a digit of that size, a clue differs from the answer, or the answer is
            not a solved Sudoku.
    """
    known = SYMBOLS[: size + 1]
    tokens = np.full(256, _UNKNOWN, dtype=np.uint8)
    tokens[np.frombuffer(known.encode(), dtype=np.uint8)] = np.arange(1, size + 2)
    tokens[ord("0")] = BLANK
    parts = []
    for at in range(0, max(len(rows), 1), _BLOCK):
        block = rows[at : at + _BLOCK]
        grids = [tokens[table.characters(column, block)] for column in range(len(table.starts))]
        for column, grid in enumerate(grids):
            table.refuse_characters(column, block, grid == _UNKNOWN, f"size {size} knows {known} and 0")
        if table.answered:
            table.refuse(block, contradicted(*grids), "the answer contradicts a clue of the question")
            table.refuse(block, ~solved(grids[1], size), "the answer is not a solved Sudoku")
        parts.append(grids)
    inputs, *labels = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return answered(inputs, *labels)

"""Mazes from CSV files: what is checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recurlight.data.maze.generate import SYMBOLS
from recurlight.data.maze.rules import GOAL, OPEN, PATH, START, drawn_steps, shortest_steps
from recurlight.data.puzzles import Puzzles
from recurlight.data.sources.csv_table import GridTable
from recurlight.data.stream import answered

__all__ = ["maze_tokens", "read_mazes"]

_TOKENS = np.zeros(256, dtype=np.uint8)
_TOKENS[np.frombuffer(SYMBOLS.encode(), dtype=np.uint8)] = np.arange(1, len(SYMBOLS) + 1)
_BLOCK = 1 << 14


def maze_tokens(characters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn the bytes of mazes written in `SYMBOLS` into tokens, 0 for any other byte."""
    return _TOKENS[characters]


def read_mazes(table: GridTable, rows: NDArray[np.int64]) -> Puzzles:
    """Read and check some rows of a file; where it has no answers, nothing is supervised.

    Args:
        table: The opened file.
        rows: Data rows counted from 0, `(n,)`.

    Raises:
        DataError: A character is unknown, a question has not one start and one goal or no way between them,
            or the answer is another maze or no path.
    """
    parts = []
    for at in range(0, max(len(rows), 1), _BLOCK):
        block = rows[at : at + _BLOCK]
        question, *answer = (
            maze_tokens(table.characters(column, block)) for column in range(len(table.starts))
        )
        unknown = (question == 0) | (question == PATH)
        table.refuse_characters(0, block, unknown, "questions of mazes know '#', ' ', 'S' and 'G'")
        for grid in answer:
            table.refuse_characters(1, block, grid == 0, "answers of mazes know '#', ' ', 'S', 'G' and 'o'")
        _check_questions(table, block, question)
        for grid in answer:
            _check_answers(table, block, question, grid)
        parts.append((question, *answer))
    inputs, *labels = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return answered(inputs, *labels)


def _check_questions(table: GridTable, rows: NDArray[np.int64], question: NDArray[np.uint8]) -> None:
    """Refuse mazes that are none."""
    for name, token in (("start 'S'", START), ("goal 'G'", GOAL)):
        count = (question == token).sum(axis=1)
        table.refuse(rows, count == 0, f"the question has no {name}")
        table.refuse(rows, count > 1, f"the question has more than one {name}")
    if not table.answered:  # else it is only looked at where the answer is no path
        table.refuse(rows, shortest_steps(question) < 0, "no way leads from start to goal")


def _check_answers(
    table: GridTable, rows: NDArray[np.int64], question: NDArray[np.uint8], answer: NDArray[np.uint8]
) -> None:
    """Refuse answers that do not solve their mazes."""
    other = ((question != answer) & ~((question == OPEN) & (answer == PATH))).any(axis=1)
    table.refuse(rows, other, "the answer contradicts the question: only open cells may become 'o'")
    bad = np.flatnonzero(drawn_steps(question, answer) < 0)
    table.refuse(rows[bad], shortest_steps(question[bad]) < 0, "no way leads from start to goal")
    table.refuse(rows[bad], np.ones(len(bad), bool), "the answer's 'o' are no path from start to goal")

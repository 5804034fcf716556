"""Moving questions over their canvas."""

from __future__ import annotations

import numpy as np

from recurlight.data.puzzles import Puzzles
from recurlight.data.sequences.shift import shift
from recurlight.types import IGNORE


def test_question_and_answer_move_together_and_keep_their_shape():
    """Breaks when they move apart, wrap around an edge, or a whole row moves differently from the next."""
    question = np.zeros((1, 4, 5), dtype=np.int16)
    question[0, :2, :3] = [[1, 2, 3], [4, 5, 6]]
    answer = np.where(question == 0, IGNORE, question + 10)
    rows = Puzzles(
        *(np.repeat(grid.reshape(1, -1), 300, axis=0) for grid in (question, answer)), np.arange(300)
    )
    moved = shift(rows, np.arange(300, dtype=np.uint64), grid_shape=(4, 5))
    corners = set()
    for inputs, labels in zip(moved.inputs.reshape(-1, 4, 5), moved.labels.reshape(-1, 4, 5), strict=True):
        row, column = np.argwhere(inputs == 1)[0]
        assert inputs[row : row + 2, column : column + 3].tolist() == [[1, 2, 3], [4, 5, 6]]
        assert (inputs != 0).sum() == 6
        assert (labels == np.where(inputs == 0, IGNORE, inputs + 10)).all()
        corners.add((row, column))
    assert corners == {(row, column) for row in range(3) for column in range(3)}
    assert (moved.task == np.arange(300)).all()


def test_a_full_canvas_stays():
    """Breaks when the longest questions are rolled."""
    rows = np.arange(1, 7).reshape(1, 6)
    puzzles = Puzzles(rows, rows, np.zeros(1))
    for key in range(20):
        assert (shift(puzzles, np.array([key], np.uint64), grid_shape=(2, 3)).inputs == rows).all()

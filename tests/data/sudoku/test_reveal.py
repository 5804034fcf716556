"""Blanks that training fills in."""

from __future__ import annotations

import numpy as np
import pytest

from recurlight import DataError, SudokuData
from recurlight.data.puzzles import Puzzles
from recurlight.data.sudoku.augment import reveal

BLANK = 1


@pytest.fixture(scope="module")
def puzzles() -> Puzzles:
    answers = np.tile(np.arange(16) % 4 + 2, (400, 1)).astype(np.uint8)
    questions = np.where(np.arange(16) < 6, answers, BLANK).astype(np.uint8)
    return Puzzles(questions, answers, np.zeros(400, dtype=np.uint8))


def keys(count: int = 400) -> np.ndarray:
    return np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


@pytest.mark.parametrize("most", [0.3, 1.0])
def test_a_share_of_the_blanks_shows_the_answer(puzzles, most):
    """Fails if clues are lost, wrong digits appear, or shares are spread otherwise than the cube says."""
    found = reveal(puzzles, keys(), most=most)
    blank = found.inputs == BLANK
    assert (found.inputs[~blank] == puzzles.labels[~blank]).all()
    assert (found.inputs[:, :6] == puzzles.inputs[:, :6]).all()
    assert (found.labels == puzzles.labels).all()
    share = 1 - blank.sum(1) / 10
    mean, square = most / 4, most**2 / 7  # of the cube of an even number, and of its square
    assert share.mean() == pytest.approx(mean, abs=0.03)
    assert share.var() == pytest.approx(square - mean**2 + (mean - square) / 10, rel=0.2)


def test_what_is_revealed_is_a_function_of_the_key(puzzles):
    """Fails if a batch's place matters, so that ranks or a resumed run would see other puzzles."""
    whole = reveal(puzzles, keys(), most=0.7).inputs
    part = reveal(puzzles.rows(slice(100, 150)), keys()[100:150], most=0.7).inputs
    assert (whole[100:150] == part).all()


@pytest.mark.parametrize("augment", [True, False])
def test_training_alone_is_revealed(augment):
    """Fails if validation is made easier, or `reveal` needs the symmetries."""
    data = SudokuData(size=4, num_train=20, num_val=8, num_test=8, batch_size=64, augment=augment, reveal=1.0)
    plain = SudokuData(size=4, num_train=20, num_val=8, num_test=8, batch_size=64, augment=augment)
    shown, hidden = next(iter(data.train_dataloader())), next(iter(plain.train_dataloader()))
    assert (shown.labels == hidden.labels).all()  # the symmetries are as they were
    assert ((shown.inputs == hidden.inputs) | (hidden.inputs == BLANK)).all()
    assert (shown.inputs == BLANK).sum() < 0.85 * (hidden.inputs == BLANK).sum()
    assert (next(iter(data.val_dataloader())).inputs == next(iter(plain.val_dataloader())).inputs).all()


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(
        DataError, match=rf"^reveal is {share}: set data.reveal to a share of the blanks, 0 to 1$"
    ):
        SudokuData(size=4, reveal=share)

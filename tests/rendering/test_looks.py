"""What follows from the facts that data say about their looks."""

from __future__ import annotations

import numpy as np

from recurlight import IGNORE, Looks, PuzzleData
from recurlight.rendering.looks import PALETTE


class Ruled(PuzzleData):
    """Says nothing but its sizes and its boxes."""

    boxes = (1, 2)

    def __init__(self) -> None:
        super().__init__(vocab_size=20, grid_shape=(2, 4))

    def load(self):
        raise AssertionError("drawing needs no puzzles")


def test_data_that_say_nothing_are_numbers_in_their_boxes():
    """Fails if a task of one's own needs more than its sizes, or numbers of two digits shift the columns."""
    text = Ruled().render([1, 12, 0, IGNORE, 3, 4, 5, 6])
    assert text.splitlines() == [" 1 12 |  .  .", "------+------", " 3  4 |  5  6"]
    assert (Ruled().picture(range(8))[1] == PALETTE[4:8]).all()
    assert Ruled().marks(range(8)) == []


def test_without_a_gap_texts_stay_as_they_are():
    """Fails if the end of a text is filled up, or what is not supervised is drawn as another token."""
    looks = Looks((1, 4), texts=["", "a", "b", "cc"], gap="")
    assert looks.text([1, 3, 2, 0]) == "accb"
    assert looks.text([1, IGNORE, 2, 0]) == "ab"


def test_canvases_are_set_apart_without_their_blank_ends():
    """Fails if a small grid fills the terminal with its canvas, or blanks within it are lost."""
    looks = Looks((6, 3), texts=" #", gap="", canvas=3)
    assert looks.text([0, 1, 0, 1, 0, 0, 0, 0, 0, *[0] * 3, *[1] * 3, *[0] * 3]) == " #\n#\n\n\n###"


def test_pictures_write_marks_and_repeat_colors():
    """Fails if a token beyond the last color has none, or marks are counted from one."""
    looks = Looks((1, 3), colors=np.array([[1, 2, 3], [4, 5, 6]], np.uint8), marks=("", "x", "y"))
    assert looks.picture([0, 1, 2]).tolist() == [[[1, 2, 3], [4, 5, 6], [1, 2, 3]]]
    assert looks.written([2, 0, 1]) == ["y", "", "x"]

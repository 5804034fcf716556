"""How data of each kind are drawn."""

import pytest

from recurlight import HeatData, Looks, MazeData, ReversalData, SudokuData
from recurlight.rendering import Drawable
from recurlight.tracing.look import look


def test_digits_are_written_on_the_page_and_clues_are_known():
    found = look(SudokuData(size=4, num_train=8), [1, 3, 1, 2] * 4, {1, 2, 3})
    assert found.written
    assert found.texts == {1: "", 2: "1", 3: "2"}
    assert {*found.colors.values()} == {None}
    assert found.clues == [cell for cell in range(16) if cell % 2]
    assert found.boxes == (2, 2)


def test_a_maze_keeps_its_colors_and_marks():
    found = look(MazeData(size=8), [1, 2, 3, 4], {1, 2, 3, 4, 5})
    assert found.written
    assert found.texts[3] == "S"
    assert None not in found.colors.values()
    assert found.clues == [2, 3]


def test_symbols_of_a_line_are_written():
    data = ReversalData()
    found = look(data, [1, 2], {0, 1, 2})
    assert found.written
    assert found.texts[1] == data.looks.texts[1]
    assert {*found.colors.values()} == {None}


@pytest.mark.parametrize(("gap", "count", "written"), [("", 5, False), (" ", 5, True), ("", 30, True)])
def test_tokens_of_a_grid_are_colors_where_these_are_enough(gap, count, written):
    """Fails if characters of a text become colors, or colors of a grid become characters."""

    class Grid(Drawable):
        grid_shape = (2, 2)
        looks = Looks((2, 2), [chr(97 + token) for token in range(count)], gap)

    found = look(Grid(), [1, 1, 1, 1], {1, 4})
    assert found.written == written
    assert (found.colors[1] is None) == written
    assert found.texts == {1: "b", 4: "e"}


def test_numbers_are_shades():
    found = look(HeatData(), [1, 9], {1, 9})
    assert not found.written
    assert found.colors == {1: "#1f2a63", 9: "#b8731a"}

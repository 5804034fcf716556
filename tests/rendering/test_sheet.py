"""Pictures are read back from their pixels."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from data.numbers import Numbers

from recurlight.data import MazeData, SudokuData
from recurlight.errors import RecurlightError
from recurlight.rendering.looks import PALETTE, Looks
from recurlight.rendering.samples import Sample
from recurlight.rendering.sheet import require_matplotlib

pytest.importorskip("matplotlib", reason="the extra viz is not installed")

from recurlight.rendering.sheet import pixels, sheet

ANSWER = [2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2]
QUESTION = [2, 1, 1, 1, *[1] * 11, 2]


def sample(prediction: list[int], question: list[int] = QUESTION, answer: list[int] = ANSWER) -> Sample:
    return Sample(question, prediction, answer, [p != a for p, a in zip(prediction, answer, strict=True)])


def drawn(data, *shown: Sample) -> list[np.ndarray]:
    """The cells of every panel, `(rows, columns, height, width, 3)` each, without the lines around cells."""
    figure = sheet(data, shown)
    image = pixels(figure)
    panels = []
    for axis in figure.axes:
        box = axis.get_window_extent()
        panel = image[len(image) - round(box.y1) : len(image) - round(box.y0), round(box.x0) : round(box.x1)]
        rows = np.array_split(panel, data.grid_shape[0])
        cells = [np.array_split(strip, data.grid_shape[1], axis=1) for strip in rows]
        height, width = (min(cell.shape[axis] for row in cells for cell in row) for axis in (0, 1))
        panels.append(np.array([[cell[:height, :width] for cell in row] for row in cells]))
    return panels


def red(cell: np.ndarray) -> bool:
    """Whether some pixel of a cell is as red as errors are."""
    return bool(((cell[..., 0] > 180) & (cell[..., 1] < 60) & (cell[..., 2] < 60)).any())


def reds(panel: np.ndarray) -> list[int]:
    return [place for place, cell in enumerate(panel.reshape(-1, *panel.shape[2:])) if red(cell[4:-4, 4:-4])]


def test_wrong_digits_are_red_and_nothing_else():
    """Fails if errors are not marked, marked in another panel, or clues are taken for errors."""
    wrong = [*ANSWER[:6], 5, *ANSWER[7:11], 2, *ANSWER[12:]]
    question, prediction, answer, *others = drawn(SudokuData(size=4), sample(wrong), sample(ANSWER))
    assert reds(prediction) == [6, 11]
    assert not any(map(reds, (question, answer, *others)))


def test_clues_are_darker_than_what_was_filled_in():
    """Fails if clues cannot be told from answers."""
    _, prediction, _ = drawn(SudokuData(size=4), sample(ANSWER))
    clue, filled = prediction[0, 0], prediction[0, 1]
    assert clue[6:-6, 6:-6].min() < 40
    assert filled[6:-6, 6:-6, 2].max() == 255
    assert filled[6:-6, 6:-6, 2].min() > 40


def test_a_blank_prediction_is_framed():
    """Fails if a wrong cell without a digit looks like a right one."""
    _, prediction, _ = drawn(SudokuData(size=4), sample([*ANSWER[:3], 1, *ANSWER[4:]]))
    assert reds(prediction) == [3]


def test_boxes_are_ruled_strongly_and_cells_thinly():
    """Fails if boxes of 2 x 3 are ruled as 3 x 2, or not at all."""
    figure = sheet(SudokuData(size=6), [sample([1] * 36, [1] * 36, [1] * 36)])
    image, box = pixels(figure), figure.axes[0].get_window_extent()
    top = len(image) - round(box.y1)
    height, width = round(box.y1) - round(box.y0), round(box.x1) - round(box.x0)
    across = image[top + height // 12, round(box.x0) :][: width + 4, 0]  # along the middle of the first row
    down = image[top:, round(box.x0) + width // 12][: height + 4, 0]
    strong = [
        [round(6 * place / width) for place in np.flatnonzero(line[5:-8] < 60) + 5] for line in (across, down)
    ]
    assert set(strong[0]) == {3}
    assert set(strong[1]) == {2, 4}
    assert sum(across[5:-8] < 230) > sum(across[5:-8] < 60)


def test_mazes_keep_their_colors_under_errors():
    """Fails if wrong cells hide what was predicted, or cells are drawn in another order than the tokens."""
    question, answer = [3, 2, 2, 2, 2, 4, *[1] * 30], [3, 5, 5, 5, 5, 4, *[1] * 30]
    wrong = [3, 5, 2, 5, 5, 4, *[1] * 29, 5]
    data = MazeData(size=6)
    shown, prediction, _ = drawn(data, sample(wrong, question, answer))
    assert reds(prediction) == [2, 35]
    for panel, tokens in ((shown, question), (prediction, wrong)):
        middles = panel[:, :, panel.shape[2] // 2, panel.shape[3] // 2]
        plain = np.array([token not in (3, 4) for token in tokens]).reshape(6, 6)
        assert (np.abs(middles.astype(int) - data.picture(tokens).astype(int)).max(axis=2) < 12)[plain].all()


def test_a_family_without_pictures_of_its_own_gets_colors():
    """Fails if a user's data need more than the three methods, or two of the first tokens look alike."""
    data = Numbers(batch_size=4)
    assert (data.picture([0, 1, 2, 25]).reshape(4, 3) == PALETTE[[0, 1, 2, 1]]).all()
    assert len(np.unique(PALETTE, axis=0)) == len(PALETTE)
    _, prediction, _ = drawn(data, sample([2, 3, 4, 5], [1, 1, 1, 1], [2, 3, 4, 4]))
    assert reds(prediction) == [3]


def test_colors_come_as_rows_and_columns():
    """Fails if rows and columns change places."""
    picture = Looks((2, 3)).picture([1, 2, 3, 4, 5, 6])
    assert picture.shape == (2, 3, 3)
    assert (picture[1, 0] == PALETTE[4]).all()


def test_a_sheet_is_a_png_of_the_same_pixels():
    """Fails if the file is cut or drawn anew at another size."""
    image = pytest.importorskip("matplotlib.image", reason="the extra viz is not installed")
    figure = sheet(SudokuData(size=9), [sample([2] * 81, [1] * 81, [2] * 81)] * 2)
    file = io.BytesIO()
    figure.savefig(file)
    file.seek(0)
    decoded = image.imread(file, format="png")
    assert decoded.shape[:2] == pixels(figure).shape[:2]
    assert np.abs(decoded[..., :3] * 255 - pixels(figure)).max() <= 1


def test_large_grids_stay_small_pictures():
    """Fails if a sheet of 30 x 30 mazes grows with its cells."""
    shape = pixels(sheet(MazeData(), [sample([1] * 900, [1] * 900, [1] * 900)])).shape
    assert shape[0] < 800
    assert shape[1] < 2000


def test_without_matplotlib_the_install_line_is_given(monkeypatch):
    """Fails if the error is an ImportError, or names another extra."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RecurlightError, match=r"^X needs matplotlib: pip install 'recurlight\[viz\]'$"):
        require_matplotlib("X")

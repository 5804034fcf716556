"""Overlays of the recipes are refused where they would train something else than the command line says."""

import pytest

from recurlight.cli.config import ConfigError
from recurlight.cli.recipes import recipes_dir
from recurlight.cli.request import prepare


def prepared(*names):
    return prepare("fit", [word for name in names for word in ("--config", name)], recipes_dir())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("trm_maze", "small"), "small is for SudokuData, .* trains on MazeData: .* recipes list$"),
        (("trm_arc1", "small"), "small is for SudokuData, .* trains on ArcData: "),
        (("trm_sudoku", "small_maze"), "small_maze is for MazeData, .* trains on SudokuData: "),
        (("trm_sort", "small_s5"), "small_s5 is for PermutationData, .* trains on SortingData: "),
        (
            ("small", "trm_sudoku"),
            "small before --config trm_sudoku .*: write --config trm_sudoku --config small$",
        ),
        (("small_maze", "trm_maze"), "write --config trm_maze --config small_maze"),
    ],
)
def test_an_overlay_in_the_wrong_place_is_refused_with_the_right_one(names, message):
    with pytest.raises(ConfigError, match=message):
        prepared(*names)


def test_an_overlay_after_its_recipe_is_taken():
    assert prepared("trm_maze", "small_maze").config["data"]["init_args"]["size"] == 6
    assert prepared("trm_sudoku", "small").config["trainer"]["logger"]["init_args"]["name"] == "trm_sudoku"


def test_files_of_ones_own_mean_what_they_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("data: SudokuData")
    (tmp_path / "table.yaml").write_text("data: {class_path: TableData, init_args: {path: x.csv}}")
    assert prepared("mine.yaml", "trm_maze").config["data"]["class_path"] == "MazeData"
    assert prepared("trm_maze", "mine.yaml").config["data"] == "SudokuData"
    with pytest.raises(ConfigError, match=r"for SudokuData, .* TableData: for what there is"):
        prepared("trm_sudoku", "table.yaml", "small")

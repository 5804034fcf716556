# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Data that are known by the name of their folder."""

from __future__ import annotations

import pytest
import yaml
from cli.fixtures import cache, failure, folder, printed

from recurlight.interop import known_data
from recurlight.interop.training_data import known_tokens

from .conftest import publish
from .importing import SUDOKU, loaded, run
from .reference import TRM_ATTENTION


def named(file, shape, *folders, **settings):
    """Let the configuration say that the data were in these folders."""
    config = shape.config() | {"data_paths": list(folders)} | settings
    (file.parent / "all_config.yaml").write_text(yaml.safe_dump(config))
    return file


def test_known_data_come_along(folder, capsys):
    """Fails when the folder's name is not recognized, or its batch size is forgotten."""
    shape = SUDOKU._replace(tokens=81, vocab=11)
    run(named(publish(folder / "hub", shape), shape, "data/sudoku-extreme-1k-aug-1000"), "--from", "trm")
    data = printed(capsys, "test", "--ckpt_path", "step_65000.ckpt")["data"]
    assert data["class_path"] == "recurlight.SudokuData"
    given = data["init_args"]
    assert (given["source"], given["num_train"], given["num_test"]) == ("hub", 1000, None)
    assert given["batch_size"] == 768


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("data/maze-30x30-hard-1k", 900),
        ("data/arc1concept-aug-1000", 900),
        ("data/arc-2-aug-1000/", 900),
        ("/home/marc/data/sudoku-extreme-full", 81),
        ("data/search-5x5", None),
        ("data/maze-9x9-hard-1k", None),
        ("data/sudoku-6x6", None),
        ("arc/mine", None),
    ],
)
def test_the_name_of_a_folder_tells_the_number_of_tokens(name, tokens):
    """Fails when a word is found inside another or in a folder above, or a size in the name is not read."""
    assert known_tokens({"data_paths": [name]}) == known_tokens({"data_path": name}) == tokens


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("sudoku-extreme-1k-aug-1000", 1000),
        ("sudoku-extreme-2k", 2000),
        ("sudoku-extreme-full", None),
        ("sudoku-extreme-9x9-2k-aug-100", 2000),
        ("sudoku-extreme-100-aug", ...),
        ("sudoku-extreme-9x9-500", ...),
        ("sudoku-extreme-1k-aug-10x", ...),
        ("sudoku-6x6", ...),
        ("sudoku-mine", ...),
        ("maze-30x30-hard-1k", ...),
    ],
)
def test_data_are_known_by_their_full_name_only(name, count):
    """Fails when puzzles of another kind or size come along as Sudoku-Extreme."""
    data = known_data({"data_paths": [f"data/{name}"]})
    assert (data["init_args"]["num_train"] if data else ...) == count


def test_other_published_data_tell_the_number_of_tokens(folder):
    """Fails when a maze's 900 tokens are not known from the name."""
    run(
        named(publish(folder / "hub", TRM_ATTENTION), TRM_ATTENTION, "data/maze-30x30-hard-1k"),
        "--from",
        "trm",
    )
    assert loaded("step_65000.ckpt")["hyper_parameters"]["seq_len"] == 900


def test_data_of_another_size_are_not_taken_for_known_ones(folder):
    """Fails when a folder of 6x6 Sudoku brings puzzles of 9x9 along."""
    shape = SUDOKU._replace(tokens=36, vocab=8)
    run(named(publish(folder / "hub", shape), shape, "data/sudoku-6x6"), "--from", "trm")
    made = loaded("step_65000.ckpt")
    assert made["hyper_parameters"]["seq_len"] == 36
    assert "datamodule_hyper_parameters" not in made


def test_no_data_can_be_asked_for(folder, capsys):
    """Fails when data that are known by name come along although none were wanted."""
    shape = SUDOKU._replace(tokens=81, vocab=12)
    file = named(publish(folder / "hub", shape), shape, "data/sudoku-extreme-1k-aug-1000")
    assert "or --data none" in failure(capsys, "import", str(file), "--from", "trm")
    run(file, "--from", "trm", "--data", "none")
    assert "data: none, give --data RECIPE" in capsys.readouterr().out
    assert "datamodule_hyper_parameters" not in loaded("step_65000.ckpt")

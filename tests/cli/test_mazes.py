# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Mazes through the command line."""

import pytest

from recurlight.__main__ import main
from recurlight.data.maze.generate import make_maze

from .fixtures import cache, failure, folder

MAZES = ["--config", "tiny", "--data", "MazeData", "--data.size", "6", "--data.batch_size", "4"]
FEW = ["--data.num_train", "8", "--data.num_val", "4", "--data.num_test", "4", "--data.epoch_samples", "8"]


def test_a_run_shows_valid_and_optimal_paths_and_so_does_its_checkpoint(folder, capsys):
    """Fails if the data's metric is not asked for, or the checkpoint forgets the data."""
    assert main(["fit", *MAZES, *FEW]) == 0
    out = capsys.readouterr().out
    assert "\nvalid " in out
    assert "\noptimal " in out
    assert main(["test", "--ckpt_path", "runs/tiny/version_0/checkpoints/last.ckpt"]) == 0
    out = capsys.readouterr().out
    for name in ("test/valid_path", "test/optimal_path", "test/optimal_path_at_1"):
        assert name in out


def test_a_folder_of_mazes_is_read_and_its_errors_are_one_line(folder, capsys):
    """Fails if an error in a file loses its row, or a flag does not reach the data."""
    rows = [",".join(("made", *make_maze(6, 5, 0, number), "9")) for number in range(12)]
    for name, part in (("train", rows[:8]), ("test", rows[8:])):
        (folder / f"{name}.csv").write_text("\n".join(["source,question,answer,rating", *part, ""]))
    source = ["--data.source", "csv", "--data.path", "."]
    assert main(["fit", *MAZES, *source, "--data.num_train=6", "--data.num_val=2", "--data.num_test=4"]) == 0
    (folder / "train.csv").write_text("\n".join(["source,question,answer,rating", rows[0].replace("S", " ")]))
    counts = ["--data.num_train=1", "--data.num_val=0", "--data.num_test=4"]
    message = failure(capsys, "fit", *MAZES, *source, *counts)
    assert message == "train.csv, row 2: the question has no start 'S'"


def test_a_path_too_long_to_find_is_one_line(capsys):
    """Fails if the generator's failure is a traceback."""
    message = failure(capsys, "fit", *MAZES, *FEW, "--data.min_path", "36")
    assert "no maze of size 6 with a path of 36 steps" in message

"""Whole runs through the command line: every family learns 4x4 Sudoku in under two minutes on one core."""

import csv
import sys

import pytest

from recurlight.__main__ import main

HRM_CELLS = [
    f"--model.refiner.{level}.{size}" for level in ("latent", "answer") for size in ("layers=2", "heads=4")
]
FAMILIES = {
    "hrm_sudoku": ["--model.max_segments", "4", *HRM_CELLS],
    "trm_sudoku": [
        *("--model.refiner.latent_steps", "2", "--model.max_segments", "2"),
        *("--trainer.max_steps", "500", "--model.scheduler.total", "500"),
    ],
    "deq_sudoku": [
        *("--model.cycles", "20", "--model.truncation.backward_steps", "12"),
        *("--model.refiner.cell.heads", "4"),
        *("--trainer.max_steps", "400", "--model.scheduler.total", "400"),
    ],
    "ut_sudoku": [
        *("--model.cycles", "8"),
        *("--trainer.max_steps", "350", "--model.scheduler.total", "350"),
    ],
}


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory):
    """Where the generated puzzles lie: all families train on the same ones."""
    return tmp_path_factory.mktemp("puzzles")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, puzzles):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(puzzles))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the command line appends the current folder
    return tmp_path


def figures(folder):
    """The last value of every figure that a run logged into `folder`."""
    with (folder / "metrics.csv").open() as file:
        return {name: float(value) for row in csv.DictReader(file) for name, value in row.items() if value}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_solves_held_out_puzzles(family, folder):
    recipe = ["--config", family, "--config", "small", *FAMILIES[family]]
    cpu = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    assert main(["fit", *recipe, *cpu, "--seed_everything", "0"]) == 0
    weights = str(folder / "runs" / family / "version_0" / "checkpoints" / "last.ckpt")
    log = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", ".", "--trainer.logger.name", "test"]
    assert main(["test", "--ckpt_path", weights, *cpu, *log]) == 0
    measured = figures(folder / "test" / "version_0")
    assert measured["test/exact_accuracy"] >= 0.95, measured


def test_steady_heat_flow_is_learnt_to_a_few_percent_of_the_direct_solver(folder):
    """Fails if fields are learnt, averaged or measured wrongly; four times the steps reach one percent."""
    short = ["--trainer.max_steps", "400", "--model.scheduler.total", "400", "--data.epoch_samples", "6400"]
    cpu = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    log = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", ".", "--trainer.logger.name", "fit"]
    assert main(["fit", "--config", "heat", "--config", "small_heat", *short, *cpu, *log]) == 0
    measured = figures(folder / "fit" / "version_0")
    assert measured["val/error_at_1"] < 0.1, measured
    assert measured["val/mean_absolute_error"] < 0.05
    assert "val/token_accuracy" not in measured

"""The grid: its plan is complete, and a run is trained, kept, not repeated, and put into the table."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from recurlight.errors import IncompatibleComponents

FILE = Path(__file__).parents[2] / "benchmarks" / "grid.py"
RUN = ["run", "--only", "shared/depth_curriculum/correctness", "--seeds", "1"]


@pytest.fixture
def grid(monkeypatch):
    """The benchmark, with runs of a few steps."""
    spec = importlib.util.spec_from_file_location("grid", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "grid", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "STEPS", 2)
    monkeypatch.setattr(module, "SEGMENTS", 2)
    return module


def test_the_plan_has_every_combination_once_and_three_seeds_where_it_matters(grid):
    runs = list(grid.planned(3))
    cells = {(r, t, h) for r in grid.REFINERS for t in grid.TRAININGS for h in grid.HALTINGS}
    assert len(runs) == len(set(runs))
    assert {run[:3] for run in runs if run.refiner in grid.REFINERS} == cells
    for refiner in ("single", "shared"):
        for training in grid.TRAININGS:
            assert {run.seed for run in runs if run[:3] == (refiner, training, "correctness")} == {0, 1, 2}


def test_only_windows_that_reach_no_question_are_refused(grid):
    data = grid.rl.SudokuData(size=6, num_train=1, num_val=1, num_test=1)
    refused = set()
    for run in grid.planned(1):
        if run.halting == "correctness":
            settings, _, steps = grid.composed(run)
            try:
                grid.model_of(run, data, settings, steps)
            except IncompatibleComponents:
                refused.add((run.refiner, run.training))
    assert refused == {("shared", "last_update"), ("separate", "last_update")}


def test_a_run_is_kept_once_and_shown(grid, tmp_path, capsys):
    out = tmp_path / "grid.jsonl"
    for _ in range(2):
        grid.main([*RUN, "--out", str(out)])
    (row,) = map(json.loads, out.read_text().splitlines())
    assert (row["cell"], row["seed"], row["steps"], len(row["exact"])) == (RUN[2], 0, 3, 2)
    assert row["recorded_mb"] > 0
    grid.main(["table", "--out", str(out)])
    line = next(one for one in capsys.readouterr().out.splitlines() if one.startswith("| depth_curriculum"))
    assert f"{100 * row['exact'][-1]:.1f} (1)" in line

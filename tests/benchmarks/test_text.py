"""Loops on text: a run is trained, kept, not repeated, and put into the table with its best rate."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "text.py"
FEW = ("--data.limit=4000", "--data.length=8", "--trainer.max_steps=2", "--model.width=16")


@pytest.fixture
def text(monkeypatch, tmp_path):
    """The benchmark, with runs of a few steps."""
    spec = importlib.util.spec_from_file_location("text", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "text", module)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "QUIET", (*module.QUIET, "enable_model_summary"))
    small = {name: model._replace(settings=(*model.settings, *FEW)) for name, model in module.MODELS.items()}
    monkeypatch.setattr(module, "MODELS", small)
    return module


def test_runs_are_kept_once_and_the_best_rate_is_shown(text, tmp_path, monkeypatch, capsys):
    """Fails if the rate is chosen on the test text, or a row is measured at another depth than it says."""
    monkeypatch.setattr(text, "RATES", (2e-3, 4e-3))
    out = tmp_path / "text.jsonl"
    for _ in range(2):
        text.main(["run", "--out", str(out), "--seeds", "2", "--only", "huginn_text"])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["rate"], row["seed"]) for row in rows[:2]] == [(2e-3, 0), (4e-3, 0)]
    best = min(rows[:2], key=lambda row: row["val"]["bits_per_byte_at_3"])["rate"]
    assert [(row["rate"], row["seed"]) for row in rows[2:]] == [(best, 1)]
    assert [*rows[0]["test"]] == [f"bits_per_byte_at_{loops}" for loops in (1, 2, 3, 4, 8)]
    text.main(["table", "--out", str(out)])
    line = next(one for one in capsys.readouterr().out.splitlines() if one.startswith("| huginn_text"))
    mean = sum(row["test"]["bits_per_byte_at_3"] for row in rows if row["rate"] == best) / 2
    assert f"| {mean:.3f} ±" in line
    assert "(2)" in line


def test_single_passes_have_the_weights_and_the_layers_that_they_claim(text):
    """Fails if what is compared as equal is not."""
    runs = {
        name: text.Run(name, 2e-3, 0) for name in ("ut_text", "one pass of 2 layers", "one pass of 8 layers")
    }
    rows = {name: text.measured(run) for name, run in runs.items()}
    assert rows["one pass of 2 layers"]["weights"] == rows["ut_text"]["weights"]
    assert rows["one pass of 8 layers"]["test"].keys() == {"bits_per_byte_at_1"}

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
    """Fails if the rate is chosen on the test text, a row is measured at another depth, or lengths mix."""
    monkeypatch.setattr(text, "RATES", (2e-3, 4e-3))
    out = tmp_path / "text.jsonl"
    longer = {"model": "huginn_text", "rate": 1.0, "seed": 0, "steps": 700}
    out.write_text(json.dumps(longer) + "\n", encoding="utf-8")
    for _ in range(2):
        text.main(["run", "--out", str(out), "--seeds", "2", "--only", "huginn_text"])
    rows = [json.loads(line) for line in out.read_text().splitlines()][1:]
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


def test_a_run_of_more_steps_has_a_schedule_as_long(text):
    """Fails if the rate stays at its floor from the recipe's last step on, or samples are seen twice."""
    argv = [*text.Run("ut_text", 2e-3, 0, steps=3000).argv, "--data.limit=60000"]
    cli = text.RecurlightCLI(text.prepare("fit", argv, text.recipes_dir()), lambda _: None)
    (rate,) = cli.model.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas
    assert rate(1500) > 2 * rate(2900) > 2 * rate(3000)
    assert cli.datamodule.epoch_samples == 3000 * cli.datamodule.batch_size

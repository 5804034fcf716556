"""The benchmark of inference: its rows agree with each other, and what it prints with what it writes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from helpers import mixer, opinionated, trainer

from recurlight import (
    AsTrained,
    CorrectnessHalting,
    LastCycles,
    RecursiveModule,
    SudokuData,
    TwoLevelRefiner,
)

FILE = Path(__file__).parents[2] / "benchmarks" / "inference.py"


@pytest.fixture
def inference(monkeypatch):
    spec = importlib.util.spec_from_file_location("inference", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "inference", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkpoint(tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    data = SudokuData(size=4, num_train=40, num_val=1, num_test=20, batch_size=8)
    parts = {"refiner": TwoLevelRefiner(mixer(), latent_steps=2), "truncation": LastCycles(1)}
    settings = {"width": 16, "cycles": 2, "max_segments": 5, "eval_halting": AsTrained()}
    made = RecursiveModule.for_data(data, halting=CorrectnessHalting(), **parts, **settings)
    opinionated(made.recursion)
    run = trainer(max_steps=1)
    run.fit(made, data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    return str(tmp_path / "x.ckpt")


@pytest.mark.parametrize("anew", [False, True])
def test_a_stream_computes_fewer_updates_and_answers_the_same(inference, checkpoint, tmp_path, capsys, anew):
    """Fails if rows that fill a batch up are not counted, or if the ways answer different puzzles."""
    puzzles = 30 if anew else 18
    flags = ["--puzzles", str(puzzles), "--slots", "4", "--repeats", "1", "--cells", "eager"]
    flags += ["--seed", "7"] if anew else []
    inference.main(["--ckpt_path", checkpoint, *flags, "--out", str(tmp_path / "x.json")])
    rows = json.loads((tmp_path / "x.json").read_text())["rows"]
    fixed, adaptive, stream = rows
    assert [row["way"] for row in rows] == ["fixed", "adaptive", "stream"]
    assert fixed["segments"] == 5
    assert fixed["updates"] == fixed["computed"] == 5 * 2 * 3
    assert adaptive["segments"] == stream["segments"] < 5
    assert adaptive["exact"] == stream["exact"]
    assert stream["updates"] <= stream["computed"]
    assert len(capsys.readouterr().out.strip().splitlines()) == 5


def test_cells_that_cannot_be_compiled_are_told_in_a_line(inference, checkpoint, monkeypatch, capsys):
    def broken(refiner):
        for cell in refiner.cells().values():
            cell.compile(backend=refused, fullgraph=True)

    def refused(graph, inputs):
        raise torch._dynamo.exc.TorchDynamoException("no compiler")

    monkeypatch.setattr(inference, "compile_cells", broken)
    flags = ["--puzzles", "8", "--slots", "4", "--repeats", "1", "--ways", "stream"]
    inference.main(["--ckpt_path", checkpoint, *flags])
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].startswith("cells cannot be compiled here: ")
    assert len([line for line in lines if line.startswith("| stream")]) == 1

"""The benchmark of generation: its ways agree where they must."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from helpers import causal, trainer

from recurlight import FixedHalting, LastCycles, RecursiveModule, SingleRefiner, TextData

FILE = Path(__file__).parents[2] / "benchmarks" / "generation.py"


@pytest.fixture
def generation(monkeypatch):
    spec = importlib.util.spec_from_file_location("generation", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "generation", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkpoint(tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, é " * 40)
    data = TextData(str(text), length=12, batch_size=8, val_share=0.1, test_share=0.1)
    parts = {"refiner": SingleRefiner(causal(2)), "truncation": LastCycles(1), "halting": FixedHalting()}
    sizes = {"vocab_size": data.vocab_size, "seq_len": 12, "width": 16}
    module = RecursiveModule(**parts, **sizes, cycles=1, max_segments=3)
    run = trainer(max_steps=1)
    run.fit(module, data)
    path = tmp_path / "last.ckpt"
    run.save_checkpoint(path)
    return str(path)


def test_ways_that_read_the_same_tell_the_same_bits(checkpoint, generation, capsys):
    generation.main(["--ckpt_path", checkpoint, "--windows", "2", "--patience", "1"])
    table = capsys.readouterr().out.splitlines()[2:]
    rows = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in table}
    assert list(rows)[:3] == ["at once, 1 segments", "at once, 2 segments", "at once"]
    assert rows["at once"][0] == rows["anew for each token"][0] == rows["every segment's keys"][0]
    assert rows["the last segment's"][0] != rows["at once"][0] != rows["at once, 1 segments"][0]
    stored = {way: rows[way][2] for way in ("every segment's keys", "the last segment's")}
    assert list(stored.values()) == ["768", "256"]  # 2 of 16 float32 for 2 blocks, and 3 segments
    assert 2 <= float(rows["stop after 1 without change"][1]) <= 3

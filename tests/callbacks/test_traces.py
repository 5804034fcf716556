"""Pages of one puzzle while a model learns, of a run that they do not change."""

from __future__ import annotations

import json
import re

import pytest
import torch
from helpers import batch, loader, mixer, module, trainer

from recurlight import CorrectnessHalting, LastCycles, RecursiveModule, SudokuData, TwoLevelRefiner
from recurlight.callbacks import TraceWriter
from recurlight.errors import IncompatibleComponents


def fit(tmp_path, monkeypatch, *callbacks):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    data = SudokuData(size=4, num_train=8, num_val=4, num_test=4, batch_size=4, epoch_samples=8, seed=0)
    parts = {"refiner": TwoLevelRefiner(mixer(), latent_steps=1), "truncation": LastCycles(1)}
    settings = {"halting": CorrectnessHalting(), "width": 16, "cycles": 2, "max_segments": 3, "seed": 0}
    model = RecursiveModule.for_data(data, **parts, **settings)
    trainer(max_epochs=4, callbacks=list(callbacks), default_root_dir=tmp_path).fit(model, data)
    return model


@pytest.mark.filterwarnings("ignore")
def test_a_page_is_written_at_validations_and_changes_nothing(tmp_path, monkeypatch):
    """Fails if epochs are counted otherwise, another puzzle is taken, or the run learns something else."""
    writer = TraceWriter(index=2, every=2, folder=str(tmp_path / "traces"))
    watched = fit(tmp_path, monkeypatch, writer)
    plain = fit(tmp_path, monkeypatch)
    pages = sorted((tmp_path / "traces").iterdir())
    assert [page.name for page in pages] == ["step_000004.html", "step_000008.html"]
    for one, other in zip(watched.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)
    found = [json.loads(re.search(r'id="data">(.*?)</script>', p.read_text("utf-8"), re.S)[1]) for p in pages]
    assert [each["title"] for each in found] == [
        f"SudokuData, validation puzzle 2, step {step}" for step in (4, 8)
    ]
    assert found[0]["question"] == found[1]["question"]
    assert found[0]["updates"] != found[1]["updates"]


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_watched_is_refused(tmp_path, monkeypatch):
    with pytest.raises(IncompatibleComponents, match="index=9: the first validation batch has 4 puzzles"):
        fit(tmp_path, monkeypatch, TraceWriter(index=9, folder=str(tmp_path)))
    run = trainer(max_epochs=1, callbacks=[TraceWriter()])
    with pytest.raises(IncompatibleComponents, match="give the trainer a PuzzleData"):
        run.fit(module(), loader([batch(4)]), loader([batch(4)]))
    with pytest.raises(IncompatibleComponents, match="every"):
        TraceWriter(every=0)

"""Figures are kept beside their checkpoint, one record for each protocol."""
# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli.fixtures import cache, folder, trained

from recurlight.__main__ import main
from recurlight.training.results import keep

MARK = {"split": "test", "data": "ab", "segments": 16.0, "seeds": {"model": 0}, "step": None}


@pytest.fixture
def run(trained, tmp_path):
    """A checkpoint in a folder of its own."""
    return str(shutil.copy(trained, tmp_path / "last.ckpt"))


def records(path):
    return json.loads((Path(path).parent / "results.json").read_text())


def test_a_fit_keeps_its_final_validation_beside_its_checkpoint(trained):
    """Fails if the table after a fit is only printed."""
    (found,) = records(trained)
    assert (found["split"], found["weights"], found["checkpoint"]) == ("val", "averaged", "last.ckpt")
    assert (found["puzzles"], found["size"], found["step"]) == (4, 4, 2)
    assert {"loss", "exact_accuracy", "exact_at_1", "exact_at_2"} <= set(found["figures"])


def test_what_is_printed_is_what_is_kept(run, capsys):
    """Fails if the lines below the table tell of another evaluation than the file."""
    assert main(["test", "--ckpt_path", run]) == 0
    (found,) = records(run)
    shown = capsys.readouterr().out
    assert f"test: 4 puzzles, data {found['data'][:8]}; 2 segments x 2 cycles x 2 updates = 8 each" in shown
    assert "averaged weights, step 2, last.ckpt; seeds: model 0, data 0; 32-true, recurlight " in shown
    assert f"{found['figures']['exact_at_2']:.1%}" in shown


def test_every_protocol_has_one_record(run):
    """Fails if records are only appended, or if one overwrites another with other settings."""
    for flags in ([], ["--model.eval_segments", "5", "--data.seed", "1"], []):
        assert main(["test", "--ckpt_path", run, *flags]) == 0
    found = [(r["segments"], r["seeds"]["data"]) for r in records(run)]
    assert found == [(5, 1), (2, 0)]
    assert len({r["data"] for r in records(run)}) == 2


def test_a_record_is_replaced_by_its_repetition(tmp_path):
    """Fails if figures take part in the comparison."""
    path = tmp_path / "results.json"
    keep(path, MARK, {"loss": 1.0})
    keep(path, MARK | {"segments": 1.0}, {"loss": 3.0})
    keep(path, MARK, {"loss": 2.0})
    assert [(r["segments"], r["figures"]) for r in json.loads(path.read_text())] == [
        (1.0, {"loss": 3.0}),
        (16.0, {"loss": 2.0}),
    ]
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("content", ["{", '{"a": 1}', "[1]"])
def test_a_file_of_something_else_is_left_alone_and_named(tmp_path, content):
    """Fails if a damaged file stops the evaluation, or is overwritten."""
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.warns(UserWarning, match=r"not kept in .*results\.json: .*; move it away"):
        keep(path, MARK, {"loss": 1.0})
    assert path.read_text() == content
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """Fails if an error of the file system goes through to the caller."""
    with pytest.warns(UserWarning, match="not kept in"):
        keep(tmp_path / "nowhere" / "results.json", MARK, {"loss": 1.0})

"""Checkpoints of earlier releases are loaded, answer as they did, and train on."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import warnings
from pathlib import Path

import pytest
import torch

from recurlight import RecursiveModule
from recurlight.__main__ import main

FOLDER = Path(__file__).parents[1] / "golden"
RELEASES = sorted(path.stem for path in FOLDER.glob("*.ckpt"))

_specification = importlib.util.spec_from_file_location("golden", FOLDER / "make_checkpoint.py")
golden = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(golden)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_this_release_has_one():
    """Fails when the version is raised without `python tests/golden/make_checkpoint.py`."""
    project = (FOLDER.parent.parent / "pyproject.toml").read_text()
    version = project.partition('\nversion = "')[2].partition('"')[0]
    assert version in RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_it_is_small_and_plain(release):
    """Fails if the file grows into the repository, or was written by another version."""
    path = FOLDER / f"{release}.ckpt"
    assert path.stat().st_size < 64_000
    assert torch.load(path, weights_only=True)["recurlight"]["recurlight"] == release


@pytest.mark.parametrize("release", RELEASES)
def test_it_answers_as_it_did(release):
    """Fails if the read-out, the cell, an initial state or the meaning of an argument changes."""
    model = RecursiveModule.load_from_checkpoint(FOLDER / f"{release}.ckpt").eval()
    answers = next(iter(model.recursion.unroll(golden.questions()))).logits
    expected = torch.tensor(json.loads((FOLDER / f"{release}.json").read_text()))
    assert expected.std() > 0.1
    torch.testing.assert_close(answers, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("release", RELEASES)
def test_training_goes_on(release):
    """Fails if the states of the optimizer, the schedule or the averaging are kept differently."""
    path = FOLDER / f"{release}.ckpt"
    saved = torch.load(path, weights_only=True)
    model = RecursiveModule.load_from_checkpoint(path)
    run = golden.trainer(saved["global_step"] + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.fit(model, golden.data(), ckpt_path=path)
    assert run.global_step == saved["global_step"] + 1
    current = saved["current_model_state"]
    moved = [name for name, value in model.state_dict().items() if not torch.equal(value, current[name])]
    assert "recursion.decoder.head.weight" in moved
    assert all(value.isfinite().all() for value in model.state_dict().values())


@pytest.mark.parametrize("release", RELEASES)
def test_the_command_line_needs_nothing_else(release, folder, capsys):
    """Fails if a setting of an earlier release is renamed without a thought for its checkpoints."""
    shutil.copy(FOLDER / f"{release}.ckpt", folder)  # its figures are kept beside it
    assert main(["test", "--ckpt_path", f"{release}.ckpt"]) == 0
    assert "exact accuracy after segments" in capsys.readouterr().out

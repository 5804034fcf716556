"""The page on numbers: its example is short, right, and trains through the command line."""

import json
import re
import shlex
import sys

import numpy as np
import pytest

from docs.test_pages import blocks, execute
from recurlight.__main__ import main

PAGE = "tutorials/numbers.md"
PIXELS = blocks(PAGE, "python")[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder of its own, as the page's reader has one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names that the page's Python defines, after its training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        return execute(PAGE, max_steps=2)


def test_the_class_is_short():
    """Breaks when the example grows beyond what the page promises."""
    assert len(PIXELS.splitlines()) < 40


def test_the_class_trains_and_predicts_from_the_command_line(folder, capsys, monkeypatch):
    """Breaks when the command line or a checkpoint does not tell the model how many numbers there are."""
    (folder / "pixels.py").write_text(PIXELS)
    monkeypatch.delitem(sys.modules, "pixels", raising=False)
    command = next(block for block in blocks(PAGE, "bash") if "pixels.PixelData" in block)
    small = "--model.width 16 --model.cycles 2 --data.pictures 500 --data.batch_size 8 --trainer.max_steps 2"
    quiet = "--data.epoch_samples 16 --trainer.accelerator cpu --trainer.enable_progress_bar false"
    assert main([*shlex.split(command)[1:], *small.split(), *quiet.split()]) == 0
    assert re.search(r"^error +\d+\.\d%$", capsys.readouterr().out, re.M)
    saved = "runs/heat/version_0/checkpoints/last.ckpt"
    assert main(["predict", "--ckpt_path", saved, *quiet.split()[2:]]) == 0
    assert "200 predictions, " in capsys.readouterr().out
    record = json.loads((folder / "predictions.jsonl").read_text().split("\n")[0])
    asked = [cell == [None] for cell in record["answer"]]
    assert asked == [known > 0 for _, known in record["question"]]
    assert all(isinstance(number, float) for cell in record["prediction"] for number in cell)


def test_what_is_missing_is_asked_and_nothing_else(page):
    """Breaks when known pixels are supervised, or question and answer lie apart."""
    data = page["PixelData"](pictures=600, missing=0.7)
    for part in data.splits:
        known = part.inputs[..., 1] > 0
        assert (np.isnan(part.labels[..., 0]) == known).all()
        picture = np.where(known, part.inputs[..., 0], part.labels[..., 0]).reshape(-1, 8, 8)
        assert ((picture > 0) & (picture <= 1)).all()
        assert np.abs(np.diff(picture, axis=1)).max() < 0.5  # it is smooth
        assert known.mean() == pytest.approx(0.3, abs=0.02)


def test_the_page_ends_with_a_picture(page):
    batch = page["batch"]
    assert batch.inputs.shape[1:] == (64, 2)
    assert page["model"](batch).logits.shape[1:] == (64, 1)

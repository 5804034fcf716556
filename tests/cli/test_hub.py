# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Checkpoints of the hub are read wherever others are; the hub itself is a stand-in, without a network."""

import sys
from types import SimpleNamespace

import pytest
import torch

import recurlight
from recurlight.__main__ import main
from recurlight.errors import CheckpointError
from recurlight.training.warm_start import warm_start

from .fixtures import cache, failure, folder, printed, trained

ADDRESS = "hf://me/tiny/runs/last.ckpt"


@pytest.fixture
def asked(monkeypatch, trained):
    """Put a hub in place that has one file; return what is asked of it."""
    asked = []

    def download(repository, file, revision):
        asked.append((repository, file, revision))
        if repository != "me/tiny":
            raise OSError("no such\nrepository")
        return trained

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    return asked


def test_a_checkpoint_of_the_hub_is_used_as_one_here(asked, trained, capsys):
    """Fails if the file, its settings or its weights are other ones."""
    question = "1" + "." * 15
    here, there = recurlight.load(trained).solve(question), recurlight.load(ADDRESS).solve(question)
    assert here[0].text == there[0].text
    assert main(["solve", "--ckpt_path", ADDRESS, question]) == 0
    assert here[0].picture() in capsys.readouterr().out
    config = printed(capsys, "test", "--ckpt_path", ADDRESS)
    assert config == printed(capsys, "test", "--ckpt_path", trained)
    assert config["ckpt_path"] == trained
    assert {*asked} == {("me/tiny", "runs/last.ckpt", None)}


def test_a_revision_is_asked_for_by_its_name(asked):
    recurlight.load("hf://me/tiny@v1.0/runs/last.ckpt")
    assert asked == [("me/tiny", "runs/last.ckpt", "v1.0")]


def test_weights_of_the_hub_start_a_model(asked, trained):
    """Fails if the address is opened as a file of another file system."""
    model = recurlight.RecursiveModule.load_from_checkpoint(trained)
    kept = model.recursion.decoder.head.weight.clone()
    model.recursion.decoder.head.weight.data.zero_()
    warm_start(model, ADDRESS)
    assert torch.equal(model.recursion.decoder.head.weight, kept)
    assert asked == [("me/tiny", "runs/last.ckpt", None)]


def test_what_cannot_be_fetched_is_one_line(asked, monkeypatch, capsys):
    said = failure(capsys, "test", "--ckpt_path", "hf://me/other/x.ckpt")
    assert said == "hf://me/other/x.ckpt could not be fetched: no such repository"
    said = failure(capsys, "fit", "--config", "tiny", "--weights", "hf://me/tiny")
    assert said == "hf://me/tiny is no file of the hub: give hf://OWNER/NAME/FILE.ckpt"
    said = failure(capsys, "calibrate", "--ckpt_path", ADDRESS)
    assert said == "a checkpoint of the hub is not written over: give a new file, --output FILE.ckpt"
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"is on the hub: pip install 'recurlight\[hub\]'"):
        recurlight.load(ADDRESS)

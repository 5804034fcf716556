"""The trainer writes and reads checkpoints through the plugin, and damage is noticed without it too.

Each docstring names the change to the code that makes its test fail.
"""

from __future__ import annotations

import errno
import os

import lightning.pytorch as pl
import pytest
import torch
from helpers import batch, loader, module, trainer, trm
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import AsyncCheckpointIO

from recurlight import DurableCheckpointIO, RecursiveModule
from recurlight.checkpoints.files import flaw, read
from recurlight.checkpoints.io import make_durable
from recurlight.errors import CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def fitted(folder, steps=3, io=None, **settings) -> pl.Trainer:
    """Train and save after every step, keeping the last."""
    kept = ModelCheckpoint(folder, "{step}", save_top_k=1, save_last=True, every_n_train_steps=1)
    made = trainer(
        max_steps=steps,
        enable_checkpointing=True,
        callbacks=[kept],
        plugins=[io or DurableCheckpointIO()],
        **settings,
    )
    made.fit(module(), loader([batch(4, seed=step) for step in range(steps)]))
    return made


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_the_trainer_leaves_whole_files_and_removes_older_ones(tmp_path):
    """Mutation: leave `save_checkpoint` to the base class."""
    fitted(tmp_path)
    assert names(tmp_path) == ["last.ckpt", "step=3.ckpt"]
    assert [flaw(path) for path in tmp_path.iterdir()] == ["", ""]


@pytest.mark.parametrize(("saves", "kept"), [(4, "step=2.ckpt"), (5, "step=3.ckpt")])
def test_a_save_that_fails_leaves_all_older_checkpoints(tmp_path, monkeypatch, saves, kept):
    """Mutation: remove the target before it is replaced."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    sync, calls = os.fsync, []

    def fill_up(handle):
        calls.append(handle)
        if len(calls) > 2 * saves:  # of a file and its folder; two files are saved after each step
            raise full
        sync(handle)

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(CheckpointError, match=r"ckpt could not be written: No space left on device"):
        fitted(tmp_path)
    assert names(tmp_path) == ["last.ckpt", kept]
    assert read(tmp_path / "last.ckpt")["global_step"] == 2


def test_addresses_are_left_to_lightning(tmp_path, monkeypatch):
    """Mutation: treat every path as a file of this machine."""
    monkeypatch.chdir(tmp_path)
    io = DurableCheckpointIO()
    io.save_checkpoint({"a": 1}, "memory://folder/a.ckpt")
    assert io.load_checkpoint("memory://folder/a.ckpt") == {"a": 1}
    assert names(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        io.load_checkpoint("gone.ckpt")
    with pytest.raises(TypeError, match="storage_options"):
        io.save_checkpoint({}, "a.ckpt", storage_options={})


def test_a_strategy_with_a_plugin_of_its_own_keeps_it():
    """Mutation: replace whatever plugin is there."""
    plain = trainer().strategy
    make_durable(plain)
    assert type(plain.checkpoint_io) is DurableCheckpointIO
    own = trainer(plugins=[AsyncCheckpointIO()]).strategy
    make_durable(own)
    assert type(own.checkpoint_io) is AsyncCheckpointIO


@pytest.mark.parametrize("io", [DurableCheckpointIO, TorchCheckpointIO])
def test_resuming_from_a_damaged_file_is_refused(tmp_path, io):
    """Mutation: check in the plugin only."""
    fitted(tmp_path, 2)
    flip(tmp_path / "last.ckpt")
    resumed = trainer(max_steps=3, plugins=[io()])
    with pytest.raises(CheckpointError, match="content does not match") as caught:
        resumed.fit(module(), loader([batch(4)]), ckpt_path=tmp_path / "last.ckpt")
    assert str(tmp_path / "step=2.ckpt") in str(caught.value)


def test_loading_a_model_from_a_damaged_file_is_refused(tmp_path):
    """Mutation: leave `load_from_checkpoint` to the base class."""
    fitted(tmp_path, 2)
    path, parts = tmp_path / "last.ckpt", trm()
    settings = {"vocab_size": 6, "seq_len": 16, "width": 16, "refiner": parts.refiner}
    settings |= {"truncation": parts.truncation, "halting": parts.halting}
    model = RecursiveModule.load_from_checkpoint(path, **settings)
    saved = torch.load(path, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[name].float()) for name, value in model.state_dict().items())
    flip(path)
    with pytest.raises(CheckpointError, match="damaged"):
        RecursiveModule.load_from_checkpoint(path, **settings)

# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Signals, full disks and errors of the user's own code during `fit`.

Each docstring names the change to the code that makes its test fail.
"""

import errno
import os
import re
import signal
import sys
from pathlib import Path

import pytest
import torch
import yaml

from recurlight.__main__ import main
from recurlight.callbacks import StopOnSignal
from recurlight.callbacks.guards import signals
from recurlight.checkpoints.files import flaw

from .fixtures import cache, failure, folder, printed
from .resumed import differences

RUN = """
model: {max_segments: 1, halting: FixedHalting, optimizer: {class_path: AdamATan2, init_args: {lr: 0.01}}}
data: {epoch_samples: 12}
trainer:
  max_epochs: 3
  callbacks:
    - {class_path: EMAWeightAveraging, init_args: {decay: 0.5, use_buffers: false}}
    - {class_path: ModelCheckpoint, init_args: {save_last: true, save_on_train_epoch_end: true}}
    - {class_path: happening.Happening}
"""
"""Nine steps in three epochs that end in validation; a callback does something in one of them."""

HAPPENING = """
import os, signal
from lightning.pytorch import Callback

WHERE, STEP, ACTION = "", 0, None

class Happening(Callback):
    def at(self, where, trainer):
        if where == WHERE and trainer.global_step == STEP:
            ACTION()
    def on_train_batch_start(self, trainer, *_): self.at("start", trainer)
    def on_train_batch_end(self, trainer, *_): self.at("end", trainer)
    def on_before_optimizer_step(self, trainer, *_): self.at("update", trainer)
    def on_validation_batch_end(self, trainer, *_): self.at("validation", trainer)
"""

LAST = "runs/tiny/version_{}/checkpoints/last.ckpt"


@pytest.fixture
def happening(folder, monkeypatch):
    """The module whose callback acts in a run."""
    (folder / "recipes" / "run.yaml").write_text(RUN)
    (folder / "happening.py").write_text(HAPPENING)
    monkeypatch.delitem(sys.modules, "happening", raising=False)
    monkeypatch.syspath_prepend(str(folder))
    import happening

    yield happening
    sys.modules.pop("happening", None)


def fit(*arguments):
    return main(["fit", "--config", "tiny", "--config", "run", *arguments])


def send(signum):
    return lambda: os.kill(os.getpid(), signum)


def load(version):
    return torch.load(LAST.format(version), weights_only=True)


@pytest.fixture
def whole(happening):
    """The last checkpoint of a run that nothing interrupts, as version 0."""
    assert fit() == 0
    return load(0)


SIGNALS = [
    (signal.SIGINT, "start", 4, 5),  # in the second epoch
    (signal.SIGTERM, "update", 4, 5),
    (signal.SIGTERM, "end", 6, 6),  # the last step before a validation
    (signal.SIGINT, "validation", 3, 4),  # which ends first
]


@pytest.mark.parametrize(("signum", "where", "step", "stop"), SIGNALS)
def test_a_signal_leaves_a_checkpoint_from_which_the_run_goes_on_exactly(
    happening, whole, capsys, signum, where, step, stop
):
    """Mutation: stop through `trainer.should_stop`, which ends the epoch early."""
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    happening.WHERE, happening.STEP, happening.ACTION = where, step, send(signum)
    assert fit() == 128 + signum
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    last = capsys.readouterr().err.splitlines()[-1]
    name, path = signal.Signals(signum).name, LAST.format(1)
    assert last == (
        f"recurlight: stopped by {name} after training step {stop}; "
        f"go on with the same command and --ckpt_path {path}"
    )
    assert load(1)["global_step"] == stop
    assert flaw(path) == ""
    happening.WHERE = ""
    assert fit("--ckpt_path", path) == 0
    changed = differences(whole, load(2))
    if stop == 6:  # a validation that was due is not made up for, and Lightning's loops count on without it
        assert all(place.startswith("/loops/") for place in changed)
    else:
        assert changed == []
    assert "/state_dict/recursion.encoder.token" in differences(whole, load(1))


def test_a_signal_waits_for_the_end_of_accumulation(happening):
    """Mutation: stop after any micro-batch, whose gradients no checkpoint holds."""
    happening.WHERE, happening.STEP, happening.ACTION = "start", 1, send(signal.SIGTERM)
    assert fit("--trainer.accumulate_grad_batches", "3") == 143
    progress = load(0)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]
    assert progress["ready"] == 6


def test_a_run_without_checkpoints_stops_without_one(happening, capsys):
    """Mutation: save into the current folder."""
    happening.WHERE, happening.STEP, happening.ACTION = "start", 1, send(signal.SIGINT)
    quiet = ["--trainer.enable_checkpointing", "false", "--trainer.callbacks-=ModelCheckpoint"]
    assert fit(*quiet, "--trainer.logger", "false") == 130
    assert capsys.readouterr().err.endswith("after training step 2; this run keeps no checkpoints\n")
    assert not list(Path().rglob("*.ckpt"))


def test_the_last_file_of_another_run_is_left_alone(happening, folder):
    """Mutation: write `last.ckpt` whatever is there."""
    kept = f"[{{class_path: ModelCheckpoint, init_args: {{dirpath: {folder}/kept}}}}, happening.Happening]"
    (folder / "kept").mkdir()
    (folder / "kept" / "last.ckpt").write_text("of another run")
    happening.WHERE, happening.STEP, happening.ACTION = "start", 1, send(signal.SIGINT)
    assert fit("--trainer.callbacks", kept) == 130
    assert (folder / "kept" / "last.ckpt").read_text() == "of another run"
    assert flaw(folder / "kept" / "last-v1.ckpt") == ""


def test_another_ctrl_c_ends_at_once(monkeypatch):
    """Mutation: wait for the step whatever comes, or count one that a launcher repeats as another."""
    ended, clock = [], [0.0]
    monkeypatch.setattr(signals.os, "_exit", ended.append)
    monkeypatch.setattr(signals.time, "monotonic", lambda: clock[0])
    stop = StopOnSignal()
    for clock[0], signum in ((1.0, 2), (1.1, 2), (1.2, 15), (9.0, 15)):
        stop._receive(signum, None)
        assert ended == []
    clock[0] = 2.0
    stop._receive(2, None)
    assert ended == [130]


def test_a_ctrl_c_outside_of_training_is_told_in_one_line(happening, capsys, monkeypatch):
    """Mutation: let Lightning's status 1 through."""

    def interrupt(self, *_):
        raise KeyboardInterrupt

    monkeypatch.setattr("recurlight.RecursiveModule.validation_step", interrupt)
    assert main(["validate", "--config", "tiny"]) == 130
    assert capsys.readouterr().err.endswith("recurlight: interrupted\n")


def test_under_slurm_the_signal_that_ends_a_job_leaves_a_checkpoint_too(happening, monkeypatch):
    """Mutation: leave SIGTERM to Lightning where it requeues jobs, which ignores it."""
    for name in ("NTASKS", "PROCID", "LOCALID", "NODEID"):
        monkeypatch.setenv(f"SLURM_{name}", "1" if name == "NTASKS" else "0")
    happening.WHERE, happening.STEP, happening.ACTION = "start", 1, send(signal.SIGTERM)
    plugin = "{class_path: lightning.pytorch.plugins.environments.SLURMEnvironment}"
    assert fit("--trainer.plugins", f"[{plugin}]") == 143
    assert load(0)["global_step"] == 2


def test_a_full_disk_ends_in_one_line_and_keeps_what_was_there(happening, capsys, monkeypatch):
    """Mutation: let the `OSError` through, with a traceback and status 1."""
    sync, full = os.fsync, []

    def fill(handle):
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fill)
    happening.WHERE, happening.STEP, happening.ACTION = "start", 5, lambda: full.append(1)
    text = failure(capsys, "fit", "--config", "tiny", "--config", "run")
    old, new = (f"/checkpoints/epoch={epoch}-step={step}.ckpt" for epoch, step in ((0, 3), (1, 6)))
    assert re.fullmatch(
        rf"the checkpoint \S+{new} could not be written: No space left on device, it needs [\d,]+ bytes and "
        rf"[\d,]+ are free there; the newest good one is still there: go on with --ckpt_path \S+",
        text,
    )
    assert sorted(path.name for path in Path(LAST.format(0)).parent.iterdir()) == [
        Path(old).name,
        "last.ckpt",
    ]


OWN = """
from recurlight import FixedHalting

FAILS = True

class Own(FixedHalting):
    calls = 0
    def should_halt(self, score, age):
        self.calls += self.training
        if FAILS and self.calls == 6:  # the first is the trial when the model is made
            raise ValueError("no such luck")
        return super().should_halt(score, age)
"""


@pytest.fixture
def own(folder, monkeypatch, happening):
    (folder / "own_policy.py").write_text(OWN)
    monkeypatch.delitem(sys.modules, "own_policy", raising=False)
    import own_policy

    yield own_policy
    sys.modules.pop("own_policy", None)


def test_an_error_of_the_users_policy_tells_when_and_leaves_a_checkpoint(own):
    """Mutation: leave `on_exception` out."""
    with pytest.raises(ValueError, match="no such luck") as caught:
        fit("--model.halting", "own_policy.Own")
    path = "runs/tiny/version_0/checkpoints/failed.ckpt"
    assert caught.value.__notes__ == [
        f"in training step 5; the weights after step 4 are saved: --ckpt_path {path}"
    ]
    assert flaw(path) == ""
    assert torch.load(path, weights_only=True)["global_step"] == 4
    own.FAILS = False
    assert fit("--ckpt_path", path) == 0
    assert load(1)["global_step"] == 9  # the batch that failed is done again


def test_a_run_that_cannot_go_on_leaves_nothing_to_go_on_from(happening, capsys):
    """Fails if the next `--ckpt_path last` finds what a refused run has written, and not the training."""
    fit()
    again = ["fit", "--config", "tiny", "--config", "run", "--ckpt_path", "last"]
    text = failure(capsys, *again, "--data.num_train", "6")
    assert "number of training puzzles 8 and this run has 6, " in text
    assert text.endswith("give the data's settings of then again, or start without the checkpoint")
    assert not list(Path().rglob("failed.ckpt"))


@pytest.mark.parametrize(
    ("where", "step", "said", "saved"),
    [
        ("end", 5, "after training step 5; the weights after step 5", True),
        ("start", 0, "in training step 1; no checkpoint was written", False),
        ("update", 4, "in training step 5; the weights after step 4", True),
        ("validation", 3, "after training step 3; no checkpoint", False),
    ],
)
def test_a_checkpoint_is_left_where_the_weights_are_sound(happening, where, step, said, saved):
    """Mutation: save wherever an error comes from."""

    def fail():
        raise LookupError("of a callback")

    happening.WHERE, happening.STEP, happening.ACTION = where, step, fail
    with pytest.raises(LookupError) as caught:
        fit()
    assert caught.value.__notes__[0].startswith(said)
    assert bool(list(Path().rglob("failed.ckpt"))) == saved


def test_errors_told_in_one_line_tell_the_step_too(happening, capsys):
    """Mutation: print the message without its notes."""
    from recurlight import DataError

    def fail():
        raise DataError("row 7 is empty")

    happening.WHERE, happening.STEP, happening.ACTION = "end", 5, fail
    text = failure(capsys, "fit", "--config", "tiny", "--config", "run")
    assert text.startswith("row 7 is empty (after training step 5; the weights")


def test_values_that_are_not_finite_end_in_one_line(happening, capsys):
    """Mutation: leave `StopOnNonFinite` out of the defaults."""
    settings = ["--config", "tiny", "--config", "run", "--trainer.callbacks", "[]"]
    text = failure(
        capsys, "fit", *settings, "--model.optimizer.lr", "1e38", "--model.optimizer.weight_decay", "10"
    )
    assert text.startswith("training step 2 is not finite: on rank 0 the weights ")

"""A run that was interrupted and resumed is, bit for bit, the run that was not.

Each test names a change of the library that makes it fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from helpers import mixer
from lightning.pytorch.callbacks import Checkpoint
from resuming import (
    POINTS,
    SETTINGS,
    Everywhere,
    Fitted,
    Interruption,
    Shifts,
    Unsteady,
    deviations,
    differences,
    disturb,
    model,
)

from recurlight.errors import CheckpointMismatch
from recurlight.run import RUN_KEY

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*isinstance.treespec, LeafSpec",
    "ignore:.*`weights_only` was not set",
    "ignore:.*Found . module.s. in eval mode",
)


class Whole:
    """The uninterrupted runs, made when they are first asked for, and the checkpoints that they wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: dict[str, Fitted] = {}

    def __getitem__(self, name: str) -> Fitted:
        if name not in self.runs:
            (self.folder / name).mkdir()
            self.runs[name] = Fitted(Everywhere(self.folder / name), **SETTINGS[name])
        return self.runs[name]

    def file(self, name: str, point: str) -> Path:
        assert self[name].left.state
        return self.folder / name / f"{point}.ckpt"

    def content(self, name: str, point: str) -> dict:
        return torch.load(self.file(name, point), weights_only=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(("name", "point"), [(name, point) for name in POINTS for point in POINTS[name]])
def test_a_resumed_run_is_the_uninterrupted_one(whole, name, point):
    """Fails if the carry, the running figures, the generators or the rewinding of counters is left out."""
    file = whole.file(name, point)
    disturb()
    assert deviations(whole[name], Fitted(resume=file, **SETTINGS[name])) == []


@pytest.mark.parametrize("point", POINTS["plain"])
def test_workers_may_come_and_go(whole, point):
    """Fails if a loader forgets what was served, or if its workers read ahead on their own account."""
    file = whole.file("plain", point)
    disturb()
    assert deviations(whole["plain"], Fitted(resume=file, workers=2, **SETTINGS["plain"])) == []


def test_workers_change_nothing(whole, tmp_path):
    """Fails if a checkpoint counts what the workers have made ready, not what was trained on."""
    again = Fitted(Everywhere(tmp_path), workers=2, **SETTINGS["plain"])
    assert deviations(whole["plain"], again) == []
    resumed = Fitted(resume=tmp_path / "07-batch.ckpt", **SETTINGS["plain"])
    assert deviations(whole["plain"], resumed) == []


def test_a_step_differs_from_the_next(whole):
    """Fails if a comparison above compares nothing: everything that is compared changes in every step."""
    one, next_one = (whole.content("plain", point) for point in ("07-batch", "08-batch"))
    for key in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "loops"):
        assert differences(one[key], next_one[key]), key
    assert differences(one[RUN_KEY]["carry"], next_one[RUN_KEY]["carry"])
    assert differences(one[RUN_KEY]["progress"], next_one[RUN_KEY]["progress"])
    losses = whole["plain"].left.losses
    assert len(set(losses.values())) == len(losses)


def test_writing_checkpoints_changes_nothing(whole):
    """Fails if saving settles, reseeds or rewinds the run that goes on."""
    for name in ("plain", "accumulating"):
        assert deviations(whole[name], Fitted(**SETTINGS[name])) == []


def test_validation_changes_nothing(whole):
    """Fails if the generators are not seeded at each batch: this cell draws from them in evaluation too."""
    again = Fitted(**(SETTINGS["plain"] | {"limit_val_batches": 0}))
    often = Fitted(**(SETTINGS["plain"] | {"val_check_interval": 1, "num_sanity_val_steps": 1}))
    for other in (again, often):
        assert deviations(whole["plain"], other) == []


@pytest.mark.parametrize(("name", "point"), [("plain", "06-epoch"), ("accumulating", "09-batch")])
def test_a_new_process_resumes_too(whole, name, point, tmp_path):
    """Fails if anything that matters stays behind in the process: a cache, an ambient seed, a hash seed."""
    file = whole.file(name, point)
    code = (
        "import torch, resuming as r\n"
        "torch.set_num_threads(1); r.disturb(5)\n"
        f"again = r.Fitted(resume={str(file)!r}, **r.SETTINGS[{name!r}])\n"
        "left = again.left\n"
        f"torch.save((left.state, left.losses, again.log.rows), {str(tmp_path / 'left')!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment() | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    state, losses, rows = torch.load(tmp_path / "left", weights_only=False)
    assert differences(plain(whole[name].left.state), plain(state)) == []
    assert losses == {n: loss for n, loss in whole[name].left.losses.items() if n in losses}
    assert rows == {n: row for n, row in whole[name].log.rows.items() if n in rows}


def plain(tree):
    """Named tuples as tuples."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    return tuple(map(plain, tree)) if isinstance(tree, tuple) else tree


class Fails(pl.Callback):
    """Raises when a hook is called for the `count`-th time."""

    def __init__(self, hook: str, count: int) -> None:
        self.count = count
        setattr(self, hook, self.called)

    def called(self, *_, **__) -> None:
        self.count -= 1
        if self.count == 0:
            raise Interruption


class OnException(Checkpoint):
    def __init__(self, file: Path) -> None:
        self.file = file

    def on_exception(self, trainer, *_):
        trainer.save_checkpoint(self.file)


PLACES = [
    ("on_train_batch_start", 9),
    ("on_train_batch_end", 9),
    ("on_before_zero_grad", 3),
    ("on_after_backward", 8),
    ("on_before_optimizer_step", 4),
    ("on_train_epoch_start", 1),
    ("on_train_epoch_start", 2),
    ("on_train_epoch_end", 1),
    ("on_validation_start", 2),
    ("on_validation_batch_end", 2),
]


@pytest.mark.parametrize("name", ["often validated", "accumulating"])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place[0]}-{place[1]}")
@pytest.mark.filterwarnings("error:the checkpoint")
def test_an_interrupted_batch_is_done_again(whole, name, place, tmp_path):
    """Fails if a checkpoint counts a batch that has only begun, or keeps its carry, or takes the averaged
    weights, which stand in during validation, for the weights."""
    file = tmp_path / "exception.ckpt"
    assert Fitted(Fails(*place), OnException(file), **SETTINGS[name]).error is not None
    disturb()
    assert deviations(whole[name], Fitted(resume=file, **SETTINGS[name])) == []


@pytest.mark.parametrize("call", [1, 9, 14])
def test_interrupted_inside_the_model(whole, call, tmp_path):
    """Fails if the carry or the figures of a half-done batch reach the checkpoint."""

    class Breaking(Unsteady):
        calls = 0

        def forward(self, state):
            self.calls += self.training
            if self.calls == call * 4 + 3:
                raise Interruption
            return super().forward(state)

    cell = Breaking()
    made = model(cell=cell)
    cell.calls = 0
    file = tmp_path / "exception.ckpt"
    assert Fitted(OnException(file), made=made, **SETTINGS["plain"]).error is not None
    assert deviations(whole["plain"], Fitted(resume=file, **SETTINGS["plain"])) == []


class AtEpochEnd(Checkpoint):
    def __init__(self, file: Path) -> None:
        self.file = file

    def on_train_epoch_end(self, trainer, *_):
        trainer.save_checkpoint(self.file)


class Stops(pl.Callback):
    """Asks for a stop in the middle of an epoch, as early stopping and signal handlers do."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.fit_loop.total_batch_idx + 1 == self.batches


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("batches", [2, 5, 6, 9])
def test_a_run_that_was_stopped_early_goes_on(whole, name, batches, tmp_path):
    """Fails if the epoch, which Lightning ends at a stop, is taken as ended."""
    file = tmp_path / "stopped.ckpt"
    Fitted(Stops(batches), AtEpochEnd(file), **SETTINGS[name])
    assert deviations(whole[name], Fitted(resume=file, **SETTINGS[name])) == []


@pytest.mark.parametrize("steps", [1, 4, 6])
def test_a_run_can_be_made_longer(whole, steps, tmp_path):
    """Fails if the end of a run in the middle of an epoch is taken as that of the epoch."""
    file = tmp_path / "ended.ckpt"
    Fitted(AtEpochEnd(file), max_steps=steps)
    assert deviations(whole["plain"], Fitted(resume=file, **SETTINGS["plain"])) == []


@pytest.mark.parametrize("name", ["often validated", "accumulating"])
def test_interruptions_add_up(whole, name, tmp_path):
    """Fails if a resumed run counts epochs, batches or steps otherwise than one that was not interrupted."""
    file, run = None, Fitted
    losses, places = {}, iter(("on_train_epoch_end", "on_train_batch_end", "on_validation_end") * 3)
    for number, place in enumerate(places):
        again = tmp_path / f"{number}.ckpt"
        run = Fitted(Fails(place, 1 + number % 2), OnException(again), resume=file, **SETTINGS[name])
        losses |= run.left.losses
        if run.error is None:
            break
        file = again
        disturb(number)
    assert number >= 3
    assert losses == whole[name].left.losses
    assert deviations(whole[name], run) == []


REFUSED = {
    "data.batch_size": {"data": Shifts(batch_size=4)},
    "data.seed": {"data": Shifts(seed=1)},
    "data.epoch_samples": {"data": Shifts(epoch_samples=40)},
    "accumulate_grad_batches": {"accumulate_grad_batches": 2},
}


@pytest.mark.parametrize("setting", REFUSED)
def test_what_cannot_go_on_exactly_is_refused(whole, setting):
    """Fails if the checkpoint does not tell the order of its samples, or how many batches made a step."""
    with pytest.raises(CheckpointMismatch, match=setting):
        Fitted(resume=whole.file("plain", "08-batch"), **(SETTINGS["plain"] | REFUSED[setting]))


def test_the_carry_can_be_left_out(whole, tmp_path):
    """Fails if `save_carry` is not heeded, or if a resumed run says nothing of the missing carry."""
    Fitted(Everywhere(tmp_path), made=model(save_carry=False), max_steps=3)
    file = tmp_path / "03-batch.ckpt"
    assert torch.load(file, weights_only=True)[RUN_KEY]["carry"] == {}
    with pytest.warns(UserWarning, match="holds no carry"):
        again = Fitted(resume=file, max_steps=4)
    assert again.made.carries[0].age.tolist() == [1] * 8
    assert whole["plain"].left.losses[3] != again.left.losses[3]


def test_a_flawed_checkpoint_says_so(whole, tmp_path):
    """Fails if a checkpoint written after averaged weights took over is resumed without a word."""
    run = Fitted(max_steps=3)
    run.trainer.save_checkpoint(tmp_path / "after.ckpt")
    with pytest.warns(UserWarning, match="averaged weights had taken the place"):
        Fitted(resume=tmp_path / "after.ckpt", max_steps=4)


class Torn(torch.optim.SGD):
    def step(self, closure=None):
        closure()
        raise Interruption


def test_an_interrupted_optimizer_step_is_told(tmp_path):
    """Fails if weights that may be between two steps are taken for those behind a step."""
    file = tmp_path / "torn.ckpt"
    Fitted(OnException(file), made=model(optimizer=lambda parameters: Torn(parameters, lr=0.1)), max_steps=3)
    assert torch.load(file, weights_only=True)[RUN_KEY]["inexact"].startswith("was written in the middle")


def test_a_second_fit_forgets_the_checkpoint(whole):
    """Fails if what a checkpoint said outlives the run that it was loaded for."""
    made = Fitted(resume=whole.file("accumulating", "06-epoch"), **SETTINGS["accumulating"]).made
    Fitted(made=made, max_steps=1)
    assert made.carries[0].age.tolist() == [1] * 8
    assert made.progress.samples == 8


def test_the_carry_is_plain_tensors(whole):
    """Fails if a checkpoint holds the refiner's own types, which do not load without running code."""
    carry = whole.content("accumulating", "07-batch")[RUN_KEY]["carry"]
    assert set(carry) == {0, 1, 2, 3}
    assert {name: tuple(leaf.shape) for name, leaf in carry[0]["state"].items()} == {
        "answer": (8, 16, 8),
        "latent": (8, 16, 8),
    }
    assert set(carry[0]) == {"state", "batch", "age", "halted"}


def test_evaluation_leaves_no_trace_in_a_checkpoint(whole, tmp_path):
    """Fails if a checkpoint written outside of training tells a place in it."""
    made = model(cell=mixer())
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.validate(made, Shifts(), verbose=False)
    trainer.save_checkpoint(tmp_path / "evaluated.ckpt")
    assert RUN_KEY not in torch.load(tmp_path / "evaluated.ckpt", weights_only=True)


def environment() -> dict[str, str]:
    """The variables of a process that imports what this one does."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}

"""A run that was interrupted where nothing is usually saved, or stopped early, goes on exactly all the same.

Each test names a change of the library that makes it fail.
"""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Checkpoint
from resuming import (
    SETTINGS,
    Fitted,
    Interruption,
    Unsteady,
    Whole,
    deviations,
    disturb,
    model,
)

from recurlight.training.run import RUN_KEY

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*isinstance.treespec, LeafSpec",
    "ignore:.*`weights_only` was not set",
    "ignore:.*Found . module.s. in eval mode",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


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
    """Fails if a batch that was only begun counts as done, by Lightning's counters or by the loader."""

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

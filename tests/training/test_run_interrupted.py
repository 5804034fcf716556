"""A run that was stopped early goes on exactly; one that an error ended says that it does not.

Each test names a change of the library that makes it fail.
"""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import Checkpoint
from resuming import (
    SETTINGS,
    Fitted,
    Interruption,
    Whole,
    deviations,
    disturb,
)

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
    ("on_train_batch_start", 9, 8),
    ("on_train_batch_end", 9, 9),
    ("on_after_backward", 8, 7),
    ("on_train_epoch_start", 2, 6),
    ("on_train_epoch_end", 1, 6),
    ("on_validation_start", 2, 4),
]
"""Where an error comes from, and how many batches were done by then."""


@pytest.mark.parametrize(("hook", "count", "done"), PLACES)
def test_a_run_that_an_error_ended_does_the_batch_again_and_says_that_it_is_not_exact(
    whole, hook, count, done, tmp_path
):
    """Fails if such a checkpoint passes for an exact one, or if a batch is skipped or done twice."""
    file = tmp_path / "exception.ckpt"
    settings = SETTINGS["often validated"]
    assert Fitted(Fails(hook, count), OnException(file), **settings).error is not None
    disturb()
    with pytest.warns(UserWarning, match="the checkpoint was written after an error: training goes on"):
        again = Fitted(resume=file, **settings)
    steps, _, epochs = again.left.state["counters"]
    assert (steps, epochs) == (12, 2)
    assert len(again.left.losses) == 12 - done


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


STOPS = [("plain", 2), ("plain", 5), ("plain", 6), ("plain", 9), ("often validated", 5)]
STOPS += [("accumulating", 4), ("accumulating", 6), ("accumulating", 10)]


@pytest.mark.parametrize(("name", "batches"), STOPS)
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


def test_a_flawed_checkpoint_says_so(whole, tmp_path):
    """Fails if a checkpoint written after averaged weights took over is resumed without a word."""
    run = Fitted(max_steps=3)
    run.trainer.save_checkpoint(tmp_path / "after.ckpt")
    with pytest.warns(UserWarning, match="averaged weights had taken the place"):
        Fitted(resume=tmp_path / "after.ckpt", max_steps=4)

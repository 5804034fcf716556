"""A run that was interrupted and resumed is, bit for bit, the run that was not.

Each test names a change of the library that makes it fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import lightning.pytorch as pl
import pytest
import torch
from helpers import mixer
from resuming import (
    AMID,
    POINTS,
    SETTINGS,
    Everywhere,
    Fitted,
    Shifts,
    Whole,
    deviations,
    differences,
    disturb,
    model,
)

from recurlight.errors import CheckpointMismatch
from recurlight.training.run import RUN_KEY

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*isinstance.treespec, LeafSpec",
    "ignore:.*`weights_only` was not set",
    "ignore:.*Found . module.s. in eval mode",
)


ELSEWHERE = {"plain": "06-epoch", "accumulating": "10-batch"}
"""Points at which another process resumes."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(("name", "point"), [(name, point) for name in POINTS for point in POINTS[name]])
def test_a_resumed_run_is_the_uninterrupted_one(whole, name, point):
    """Fails if the carry, the running figures, the generators or the turn of the epoch is left out."""
    file = whole.file(name, point)
    disturb()
    with warnings.catch_warnings(action="error", category=UserWarning):
        warnings.filterwarnings("ignore", "(?!the checkpoint)")
        again = Fitted(resume=file, **SETTINGS[name])
    assert deviations(whole[name], again) == []


@pytest.mark.parametrize("point", AMID)
def test_a_checkpoint_amid_an_accumulated_step_says_so_and_goes_on(whole, point):
    """Fails if such a checkpoint passes for an exact one, or if it brings no carry, batch or step."""
    with pytest.warns(UserWarning, match="in the middle of an optimizer step, whose gradients"):
        again = Fitted(resume=whole.file("accumulating", point), **SETTINGS["accumulating"])
    assert again.left.state["counters"] == whole["accumulating"].left.state["counters"]
    there = whole.content("accumulating", point)
    assert set(there[RUN_KEY]["carry"]) == set(range(min(int(point[:2]), 4)))
    assert min(again.left.losses) == int(point[:2])


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
    """Fails if saving settles or rewinds the run that goes on."""
    for name in ("plain", "accumulating"):
        assert deviations(whole[name], Fitted(**SETTINGS[name])) == []


def test_validation_changes_nothing(whole):
    """Fails if the generators are not seeded at each batch: this cell draws from them in evaluation too."""
    again = Fitted(**(SETTINGS["plain"] | {"limit_val_batches": 0}))
    often = Fitted(**(SETTINGS["plain"] | {"val_check_interval": 1, "num_sanity_val_steps": 1}))
    for other in (again, often):
        assert deviations(whole["plain"], other) == []


def test_a_new_process_resumes_too(whole, tmp_path):
    """Fails if anything that matters stays behind in the process: a cache, an ambient seed, a hash seed."""
    files = {name: str(whole.file(name, point)) for name, point in ELSEWHERE.items()}
    code = (
        "import sys, torch, resuming as r\n"
        "torch.set_num_threads(1); r.disturb(5)\n"
        f"for name, file in {files}.items():\n"
        "    again = r.Fitted(resume=file, **r.SETTINGS[name])\n"
        "    torch.save((again.left.state, again.left.losses, again.log.rows), name)\n"
    )
    places = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | places | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in files:
        state, losses, rows = torch.load(tmp_path / name, weights_only=False)
        assert differences(plain(whole[name].left.state), plain(state)) == []
        assert losses == {n: loss for n, loss in whole[name].left.losses.items() if n in losses}
        assert rows == {n: row for n, row in whole[name].log.rows.items() if n in rows}


def plain(tree):
    """Named tuples as tuples."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    return tuple(map(plain, tree)) if isinstance(tree, tuple) else tree


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


def test_a_second_fit_forgets_the_checkpoint(whole):
    """Fails if what a checkpoint said outlives the run that it was loaded for."""
    made = Fitted(resume=whole.file("accumulating", "06-epoch"), **SETTINGS["accumulating"]).made
    Fitted(made=made, max_steps=1)
    assert made.carries[0].age.tolist() == [1] * 8
    assert made.progress.samples == 8


def test_the_carry_is_plain_tensors(whole):
    """Fails if a checkpoint holds the refiner's own types, which do not load without running code."""
    carry = whole.content("accumulating", "06-batch")[RUN_KEY]["carry"]
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


def test_the_run_is_brought_to_a_trainer_once(caplog):
    """Fails if a trainer that fits and then evaluates is told of a callback that replaces itself."""
    run = Fitted(max_steps=1)
    with caplog.at_level("INFO"):
        run.trainer.validate(run.made, Shifts(), verbose=False)
    assert run.trainer.callbacks.count(run.made.run) == 1
    assert caplog.text
    assert "override existing callbacks" not in caplog.text


def test_every_micro_batch_draws_anew():
    """Fails if the generators are seeded by the optimizer's step, or by the place within one."""
    draws = []

    class Draws(pl.Callback):
        def on_train_batch_end(self, *_):
            draws.append(torch.rand(()).item())

    Fitted(Draws(), **SETTINGS["accumulating"])
    assert len(set(draws)) == len(draws) == 22


@pytest.mark.parametrize(("point", "starts"), [("06-epoch", 2), ("06-validation", 2), ("08-batch", 1)])
def test_an_epoch_starts_once(whole, point, starts):
    """Fails if a run that resumes between two epochs takes the next for one that has started."""
    begun = []

    class Starts(pl.Callback):
        def on_train_epoch_start(self, trainer, _):
            begun.append(trainer.current_epoch)

    Fitted(Starts(), resume=whole.file("plain", point), **SETTINGS["plain"])
    assert begun == [1, 2][-starts:]

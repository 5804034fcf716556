"""What would end a run when there is something to lose is refused before its first step."""

from __future__ import annotations

import os
from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from helpers import mixer
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint, WeightAveraging
from lightning.pytorch.cli import ReduceLROnPlateau
from resuming import Shifts

from recurlight import (
    AdamATan2,
    CorrectnessHalting,
    FixedHalting,
    ImplicitGradient,
    LastCycles,
    LinearWarmup,
    MazeData,
    RecursiveModule,
    SingleRefiner,
    SortingData,
    SplitOptimizer,
    TwoLevelRefiner,
)
from recurlight.errors import CheckpointError, CheckpointMismatch, IncompatibleComponents

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TASKS = {
    "none": lambda: Shifts(batch_size=4, epoch_samples=4),
    "maze": lambda: MazeData(size=6, num_train=4, num_val=2, num_test=2, batch_size=4, epoch_samples=4),
    "groups": lambda: SortingData(
        length=4, eval_lengths=[4, 5], num_train=4, num_val=2, num_test=2, batch_size=4, epoch_samples=4
    ),
}


class Own(pl.Callback):
    """Logs a figure of its own."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        pl_module.log("mine", 1.0)


def model(kind=RecursiveModule, data=None, **settings):
    settings = {"width": 16, "cycles": 2, "max_segments": 3, **settings}
    refiner = TwoLevelRefiner(mixer(), latent_steps=1)
    sizes = (6, 16) if data is None else (data.vocab_size, data.seq_len)
    return kind(*sizes, refiner, LastCycles(1), CorrectnessHalting(), **settings)


def fit(*callbacks, module=None, data=None, resume=None, **settings):
    settings = {"max_steps": 1, "logger": False, "enable_checkpointing": False, **settings}
    settings |= {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = pl.Trainer(callbacks=list(callbacks), **settings)
    trainer.fit(module or model(), data or TASKS["none"](), ckpt_path=resume)
    return trainer


def split(matrices):
    return partial(SplitOptimizer, matrices=matrices)


def test_an_optimizer_inside_another_is_refused_too(tmp_path):
    """Fails if only the outer class is compared, and torch finds out at the first step."""
    muon = partial(torch.optim.Muon, lr=0.02)
    fit(module=model(optimizer=split(muon))).save_checkpoint(tmp_path / "x.ckpt")
    with pytest.raises(
        CheckpointMismatch, match=r"model\.optimizer\.matrices torch.optim.Muon and .* torch.optim.SGD"
    ):
        fit(module=model(optimizer=split(partial(torch.optim.SGD, lr=0.1))), resume=tmp_path / "x.ckpt")
    with pytest.warns(UserWarning, match="model.optimizer.matrices.lr is 0.02 there and 0.03 here"):
        fit(module=model(optimizer=split(partial(muon, lr=0.03))), resume=tmp_path / "x.ckpt", max_steps=2)


@pytest.mark.parametrize("name", ["accumulate_grad_batches", "check_val_every_n_epoch"])
def test_counts_of_nothing_are_refused(name):
    with pytest.raises(IncompatibleComponents, match=f"trainer.{name} is 0: set it to 1 or more"):
        fit(**{name: 0})


def test_weights_are_averaged_once():
    """Breaks when two callbacks exchange the weights with each other."""
    averages = EMAWeightAveraging(use_buffers=False), WeightAveraging(use_buffers=False)
    with pytest.raises(IncompatibleComponents, match="EMAWeightAveraging and WeightAveraging both average"):
        fit(*averages)


@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_the_figures_are_those_that_a_run_logs(make):
    """Breaks when a figure gets another name than the one that the check at the start knows."""
    data = make()
    module = model(data=data)
    trainer = fit(module=module, data=data)
    assert set(trainer.callback_metrics) == module.figures()


def test_a_solver_s_figures_are_known():
    module = RecursiveModule(6, 16, SingleRefiner(mixer()), ImplicitGradient(), FixedHalting(), width=16)
    trainer = fit(module=module, limit_val_batches=0, max_steps=2)
    assert set(trainer.callback_metrics) == module.figures() >= {"forward_residual", "backward_residual"}


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (
            partial(EarlyStopping, "val_loss"),
            "EarlyStopping monitors 'val_loss', .* mean 'val/loss'",
        ),
        (partial(ModelCheckpoint, monitor="epochs"), "ModelCheckpoint monitors 'epochs', .* mean 'epoch'"),
        (partial(EarlyStopping, "quite_other"), "does not log: it logs exact, loss, samples"),
    ],
)
def test_a_monitor_that_no_figure_has_is_refused(callback, message, tmp_path):
    with pytest.raises(IncompatibleComponents, match=message):
        fit(callback(), enable_checkpointing=True, default_root_dir=tmp_path)


def test_a_figure_of_validation_is_not_there_without_validation():
    with pytest.raises(IncompatibleComponents, match="EarlyStopping monitors 'val/loss'"):
        fit(EarlyStopping("val/loss"), limit_val_batches=0)


@pytest.mark.parametrize(
    ("limits", "comes"),
    [
        ({"max_steps": 2}, False),
        ({"max_steps": 3}, True),
        ({"max_steps": 1, "accumulate_grad_batches": 3}, True),
        ({"max_steps": -1, "max_epochs": 1, "check_val_every_n_epoch": 2}, False),
        ({"max_steps": -1, "max_epochs": 2}, True),
        ({"max_steps": 1, "val_check_interval": 1}, True),
        ({"max_steps": 3, "val_check_interval": 4, "check_val_every_n_epoch": None}, False),
    ],
)
@pytest.mark.parametrize("waiting", ["stopping", "checkpoint", "schedule"])
def test_a_figure_that_comes_after_the_end_is_not_waited_for(limits, comes, waiting, tmp_path):
    """Fails if a run is lost at its end, leaves no file, or is refused though it validates."""
    callbacks = {
        "stopping": [EarlyStopping("val/loss")],
        "checkpoint": [ModelCheckpoint(tmp_path, monitor="val/loss")],
        "schedule": [],
    }[waiting]
    plateau = partial(ReduceLROnPlateau, monitor="val/loss") if waiting == "schedule" else None
    settings = {"module": model(scheduler=plateau), "data": Shifts(batch_size=4, epoch_samples=12)}
    settings |= {"enable_checkpointing": waiting == "checkpoint", **limits}
    if comes:
        assert "val/loss" in fit(*callbacks, **settings).callback_metrics
        return
    with pytest.raises(IncompatibleComponents, match="monitors 'val/loss', and this run ends before it val"):
        fit(*callbacks, **settings)


def test_a_validation_after_several_epochs_is_waited_for():
    settings = {"max_steps": -1, "max_epochs": 2, "check_val_every_n_epoch": 2}
    assert "val/loss" in fit(EarlyStopping("val/loss"), **settings).callback_metrics


@pytest.mark.parametrize("monitor", ["val/exact_accuracy", "val/exact_at_3", "step"])
def test_what_is_logged_may_be_monitored(monitor, tmp_path):
    writer = ModelCheckpoint(tmp_path, monitor=monitor, save_on_train_epoch_end=True)
    fit(writer, enable_checkpointing=True)
    assert os.path.exists(writer.best_model_path)


def test_a_callback_of_ones_own_may_log_what_is_monitored(tmp_path):
    writer = ModelCheckpoint(tmp_path, monitor="mine", save_on_train_epoch_end=True)
    fit(Own(), writer, enable_checkpointing=True)
    assert os.path.exists(writer.best_model_path)


def test_a_folder_that_cannot_be_written_to_is_found_before_training(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot be written to .*file/x: .*file is a file"):
        fit(ModelCheckpoint(tmp_path / "file/x"), enable_checkpointing=True)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(CheckpointError, match=r"cannot be written to .*new/x: .* is read-only"):
        fit(ModelCheckpoint(tmp_path / "new/x"), enable_checkpointing=True)
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The checkpoint of a run with AdamATan2 and a warm-up."""
    path = tmp_path_factory.mktemp("saved") / "one.ckpt"
    fit(module=model(optimizer=partial(AdamATan2, lr=1e-3), scheduler=LinearWarmup)).save_checkpoint(path)
    return path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": torch.optim.AdamW}, "model.optimizer recurlight.AdamATan2 .* has torch.optim.AdamW"),
        ({"scheduler": None}, "model.scheduler recurlight.LinearWarmup and this run has null"),
        (
            {"scheduler": partial(torch.optim.lr_scheduler.StepLR, step_size=3)},
            "model.scheduler .* has torch.optim.lr_scheduler.StepLR, which cannot take up its state",
        ),
    ],
)
def test_another_optimizer_or_schedule_does_not_take_up_the_state(saved, settings, message):
    settings = {"optimizer": partial(AdamATan2, lr=1e-3), "scheduler": LinearWarmup} | settings
    with pytest.raises(CheckpointMismatch, match=message):
        fit(module=model(**settings), resume=saved, max_steps=2)


HEAD = {"parts": ["halting"], "lr": 1e-4}


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """The checkpoint of a run with a group of parameters."""
    path = tmp_path_factory.mktemp("grouped") / "one.ckpt"
    fit(module=model(optimizer_groups=[HEAD])).save_checkpoint(path)
    return path


@pytest.mark.parametrize(
    "groups", [None, [HEAD | {"parts": ["decoder"]}], [HEAD, {"parts": ["decoder"], "frozen": True}]]
)
def test_other_groups_of_parameters_do_not_take_up_the_state(saved, grouped, groups):
    """Breaks when a state is laid over groups of other weights, or the weights of frozen ones move again."""
    shown = (
        r"\[\{'parts': \['halting'\], 'lr': 0.0001\}\] and this run has (null|.*decoder.*): leave their parts"
    )
    with pytest.raises(CheckpointMismatch, match=f"with model.optimizer_groups {shown}"):
        fit(module=model(optimizer_groups=groups), resume=grouped, max_steps=2)
    with pytest.raises(CheckpointMismatch, match=r"with model.optimizer_groups null and this run has \["):
        fit(module=model(optimizer=AdamATan2, optimizer_groups=[HEAD]), resume=saved, max_steps=2)


@pytest.mark.filterwarnings("default::UserWarning")
def test_settings_of_a_group_that_a_resumed_optimizer_does_not_take_are_told(grouped):
    other = model(optimizer_groups=[HEAD | {"lr": 1e-5}])
    with pytest.warns(UserWarning, match=r"optimizer_groups is .*0.0001.* there and .*1e-05.*: .* keeps"):
        fit(module=other, resume=grouped, max_steps=2)
    assert other.optimizers().param_groups[0]["lr"] == 1e-4


@pytest.mark.filterwarnings("default::UserWarning")
def test_settings_that_a_resumed_optimizer_does_not_take_are_told(saved):
    other = model(optimizer=partial(AdamATan2, lr=1e-5), scheduler=LinearWarmup)
    with pytest.warns(UserWarning, match=r"model.optimizer.lr is 0.001 there and 1e-05 here: .* keeps"):
        fit(module=other, resume=saved, max_steps=2)

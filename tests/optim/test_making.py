"""Every optimizer and schedule that the command line offers trains, or is refused by name."""

from __future__ import annotations

import inspect
from functools import partial

import pytest
import torch
from helpers import trainer
from lightning.pytorch.cli import ReduceLROnPlateau
from resuming import Shifts, model
from torch import nn, optim
from torch.optim import lr_scheduler

from recurlight.errors import IncompatibleComponents
from recurlight.optim import SplitOptimizer
from recurlight.truncation import LastCycles

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

OPTIMIZERS = [
    kind
    for _, kind in inspect.getmembers(optim, inspect.isclass)
    if issubclass(kind, optim.Optimizer) and kind is not optim.Optimizer
]
REFUSED = {
    optim.Muon: "model.optimizer: Muon only .*; SplitOptimizer gives it the matrices of the cells alone",
    optim.SparseAdam: "model.optimizer: SparseAdam takes sparse gradients alone, .* use AdamATan2 or",
    optim.LBFGS: "model.optimizer: LBFGS evaluates the loss many times a step, .* use AdamATan2 or",
}
SCHEDULES = {
    lr_scheduler.StepLR: {"step_size": 2},
    lr_scheduler.MultiStepLR: {"milestones": [1, 2]},
    lr_scheduler.ConstantLR: {},
    lr_scheduler.LinearLR: {},
    lr_scheduler.ExponentialLR: {"gamma": 0.9},
    lr_scheduler.PolynomialLR: {},
    lr_scheduler.CosineAnnealingLR: {"T_max": 4},
    lr_scheduler.CosineAnnealingWarmRestarts: {"T_0": 2},
    lr_scheduler.CyclicLR: {"base_lr": 0.01, "max_lr": 0.1, "cycle_momentum": False},
    lr_scheduler.OneCycleLR: {"max_lr": 0.1, "total_steps": 9, "cycle_momentum": False},
    optim.swa_utils.SWALR: {"swa_lr": 0.05},
}


def fitted(**settings):
    made = model(**{"cell": nn.Linear(8, 8), "scheduler": None} | settings)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    run = trainer(max_steps=3, limit_val_batches=1, val_check_interval=1)
    run.fit(made, Shifts(epoch_samples=24))
    after = made.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert any(not torch.equal(after[name], before[name]) for name in before)
    return run


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer_of_torch_trains_or_is_refused_by_name(kind):
    """Breaks when a traceback comes out, or an optimizer calls for many segments in one step."""
    if kind not in REFUSED:
        assert fitted(optimizer=kind).global_step == 3
        return
    with pytest.raises(IncompatibleComponents, match=REFUSED[kind]):
        fitted(optimizer=kind)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_every_schedule_that_a_file_can_write_trains(kind):
    assert fitted(scheduler=partial(kind, **SCHEDULES[kind])).global_step == 3


def test_what_torch_refuses_names_the_setting():
    with pytest.raises(IncompatibleComponents, match=r"model\.optimizer: Invalid learning rate: -1"):
        fitted(optimizer=partial(optim.SGD, lr=-1.0))
    with pytest.raises(IncompatibleComponents, match=r"model\.scheduler: .*total_steps"):
        fitted(scheduler=partial(lr_scheduler.OneCycleLR, max_lr=0.1))
    with pytest.raises(IncompatibleComponents, match="SparseAdam takes sparse"):
        fitted(optimizer=partial(SplitOptimizer, rest=optim.SparseAdam))


def test_a_plateau_lowers_the_rate_by_what_it_monitors():
    """Breaks when the figure is not handed on, or the schedule is stepped at every batch."""
    plateau = partial(ReduceLROnPlateau, monitor="val/exact_accuracy", mode="max", factor=0.5, patience=0)
    made = model(optimizer=partial(optim.SGD, lr=1e-6), scheduler=plateau)
    run = trainer(max_epochs=4)
    run.fit(made, Shifts(epoch_samples=16))
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-6 * 0.5**3)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            lr_scheduler.ReduceLROnPlateau,
            "use lightning.pytorch.cli.ReduceLROnPlateau, which takes",
        ),
        (partial(ReduceLROnPlateau, monitor="val_loss"), "monitors 'val_loss', .* did you mean 'val/loss'"),
    ],
)
def test_a_plateau_needs_a_figure_that_is_logged(schedule, message):
    with pytest.raises(IncompatibleComponents, match=message):
        fitted(scheduler=schedule, truncation=LastCycles(1))

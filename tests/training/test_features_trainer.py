"""Every flag of Lightning's trainer, once each: the plain run stays, or the documented effect is there."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from features import (
    EPOCH,
    HOUR,
    MACHINE,
    NOTHING,
    STEPS,
    Check,
    Fit,
    Notes,
    Row,
    first,
    fit,
    has_bar,
    logged,
    rows,
    same,
    saver,
    wrote,
)
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from lightning.pytorch.profilers import PyTorchProfiler

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Fit:
    found = fit(tmp_path_factory.mktemp("plain"), max_steps=2 * STEPS)
    assert len(set(found.look.losses)) == 2 * STEPS
    return found


def near(tolerance: float) -> Check:
    """Return a check that the first epoch agrees as far as a precision goes."""

    def check(found: Fit, plain: Fit) -> None:
        assert len(found.look.losses) == STEPS
        assert found.look.losses[:EPOCH] == pytest.approx(plain.look.losses[:EPOCH], rel=tolerance)

    return check


def clips(found: Fit, plain: Fit) -> None:
    """The first step is another one."""
    assert found.look.losses[0] == plain.look.losses[0]
    pairs = zip(found.look.weights[0], plain.look.weights[0], strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    assert len(found.look.losses) == STEPS


def validates(times: int) -> Check:
    """Return a check for the number of validations; the losses stay."""

    def check(found: Fit, plain: Fit) -> None:
        assert found.look.losses == plain.look.losses[:STEPS]
        assert len(found.look.validated) == times
        assert found.look.validated[-1] == plain.look.validated[1]

    return check


def limited(found: Fit, plain: Fit) -> None:
    """Epochs are shorter, and each begins where it always does."""
    assert found.look.losses[:2] == plain.look.losses[:2]
    wanted = [plain.look.questions[EPOCH * epoch + place] for epoch in range(3) for place in range(2)]
    assert torch.equal(torch.stack(found.look.questions), torch.stack(wanted))


def overfits(found: Fit, plain: Fit) -> None:
    """Every epoch has the batches of the first."""
    assert found.look.losses[:2] == plain.look.losses[:2]
    wanted = plain.look.questions[:2] * 3
    assert torch.equal(torch.stack(found.look.questions), torch.stack(wanted))


def evaluates(puzzles: int) -> Check:
    """Return a check for how many puzzles evaluation counts."""

    def check(found: Fit, plain: Fit) -> None:
        assert found.look.losses == plain.look.losses[:STEPS]
        found.data.eval_batch_size = 2
        for call in (found.trainer.validate, found.trainer.test):
            call(found.model, datamodule=found.data, verbose=False)
            assert found.model.measured.puzzles == puzzles
        predictions = found.trainer.predict(found.model, datamodule=found.data)
        assert sum(len(part.logits) for part in predictions) == puzzles

    return check


def accumulates(found: Fit, plain: Fit) -> None:
    assert found.trainer.global_step == STEPS
    assert found.look.losses[0] == plain.look.losses[0] / 2  # Lightning tells the share of a micro-batch
    assert sorted(found.model.carries) == [0, 1]


def resumes(found: Fit, plain: Fit) -> None:
    """A checkpoint that another thread wrote while training went on is that of its step."""
    same(found, plain)
    again = fit(found.folder / "again", found.folder / "4.ckpt")
    assert again.look.losses == plain.look.losses[4:STEPS]


def flag(check: Check = same, **settings: Any) -> Row:
    return lambda _: dict(settings), check


def writes_behind(path: Path) -> dict[str, Any]:
    return {
        "plugins": [AsyncCheckpointIO()],
        "callbacks": [saver(path, every_n_train_steps=2, save_top_k=-1)],
    }


ONE_BATCH = {f"limit_{stage}_batches": 1 for stage in ("val", "test", "predict")}

FLAGS: dict[str, list[Row]] = {
    **{name: [flag(**{name: value})] for name, value in MACHINE.items()},
    "accumulate_grad_batches": [flag(accumulates, accumulate_grad_batches=2)],
    "barebones": [flag(first(STEPS), barebones=True, num_sanity_val_steps=None, logger=None)],
    "benchmark": [flag(benchmark=True)],
    "callbacks": [flag(callbacks=[pl.Callback()])],
    "check_val_every_n_epoch": [flag(validates(1), check_val_every_n_epoch=2)],
    "default_root_dir": [(lambda path: {"default_root_dir": path / "new"}, same)],
    "detect_anomaly": [flag(detect_anomaly=True)],
    "deterministic": [flag(deterministic=True), flag(deterministic="warn")],
    "enable_autolog_hparams": [flag(enable_autolog_hparams=False, logger=Notes())],
    "enable_checkpointing": [flag(wrote("epoch=1-step=6.ckpt"), enable_checkpointing=True)],
    "enable_model_summary": [flag(enable_model_summary=True)],
    "enable_progress_bar": [flag(has_bar, enable_progress_bar=True)],
    "fast_dev_run": [flag(first(1), fast_dev_run=True), flag(first(2), fast_dev_run=2)],
    "gradient_clip_algorithm": [
        flag(gradient_clip_val=1e9, gradient_clip_algorithm="value"),
        flag(clips, gradient_clip_val=1e-4, gradient_clip_algorithm="value"),
    ],
    "gradient_clip_val": [flag(gradient_clip_val=1e9), flag(clips, gradient_clip_val=1e-4)],
    "inference_mode": [flag(evaluates(5), inference_mode=False)],
    "limit_predict_batches": [flag(evaluates(2), **ONE_BATCH)],
    "limit_test_batches": [flag(evaluates(2), **ONE_BATCH)],
    "limit_train_batches": [flag(limited, limit_train_batches=2), flag(limited, limit_train_batches=0.7)],
    "limit_val_batches": [flag(evaluates(2), **ONE_BATCH)],
    "log_every_n_steps": [flag(logged("loss"), log_every_n_steps=2, logger=Notes())],
    "logger": [flag(logged("val/loss"), logger=Notes()), flag(logger=True)],
    "max_epochs": [flag(first(EPOCH), max_epochs=1)],
    "max_time": [flag(max_time=HOUR), flag(first(0), max_time=NOTHING)],
    "min_epochs": [flag(min_epochs=1)],
    "min_steps": [flag(min_steps=1)],
    "model_registry": [flag(model_registry="x")],
    "num_sanity_val_steps": [flag(num_sanity_val_steps=2), flag(num_sanity_val_steps=-1)],
    "overfit_batches": [flag(overfits, overfit_batches=2)],
    "plugins": [
        flag(plugins=[LightningEnvironment()]),
        flag(near(0.02), plugins=[MixedPrecision("bf16-mixed", "cpu")]),
        (writes_behind, resumes),
    ],
    "precision": [
        flag(precision="32-true"),
        flag(
            near(0.2), precision="64-true"
        ),  # the refiner draws its noise in float64; test_precision has more
        flag(near(0.02), precision="bf16-mixed"),
    ],
    "profiler": [
        flag(profiler="simple"),
        flag(profiler="advanced"),
        (lambda path: {"profiler": PyTorchProfiler(path, "x")}, same),
    ],
    "reload_dataloaders_every_n_epochs": [flag(reload_dataloaders_every_n_epochs=1)],
    "sync_batchnorm": [flag(sync_batchnorm=True)],
    "use_distributed_sampler": [flag(use_distributed_sampler=False)],
    "val_check_interval": [
        flag(validates(6), val_check_interval=1),
        flag(validates(6), val_check_interval=0.5),
        flag(validates(1), val_check_interval=2 * EPOCH, check_val_every_n_epoch=None),
        flag(first(STEPS), val_check_interval=HOUR),
    ],
}


@pytest.mark.parametrize(("settings", "check"), rows(FLAGS))
def test_a_flag_does_what_it_says_and_nothing_else(plain, tmp_path, settings, check):
    check(fit(tmp_path, **settings(tmp_path)), plain)


def test_no_flag_is_left_out():
    assert set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"} <= FLAGS.keys()

"""Every callback that Lightning exports, once each.

A callback leaves the losses of a plain run as they are, or has the effect that Lightning documents, or is
refused in one line that names it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from features import (
    EPOCH,
    HOUR,
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
from lightning.pytorch import callbacks as shipped
from resuming import BATCH

from recurlight.training.module import RecursiveModule

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Fit:
    return fit(tmp_path_factory.mktemp("plain"), max_steps=2 * STEPS)


def best_is_kept(found: Fit, plain: Fit) -> None:
    same(found, plain)
    best = min(figures["val/loss"] for figures in plain.look.validated[:2])
    assert found.trainer.checkpoint_callback.best_model_score.item() == best
    assert len(list(found.folder.rglob("*.ckpt"))) == 1


def weights_can_be_loaded(found: Fit, plain: Fit) -> None:
    same(found, plain)
    (path,) = found.folder.rglob("*.ckpt")
    loaded = RecursiveModule.load_from_checkpoint(path, trust=["helpers"])
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), found.look.weights[-1], strict=True))


def averages(rule: Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]) -> Check:
    """Return a check that the model ends with an average of the weights of all steps, and validates it."""

    def check(found: Fit, plain: Fit) -> None:
        assert found.look.losses == plain.look.losses[:STEPS]
        assert found.look.validated != plain.look.validated[: STEPS // EPOCH]
        for place, weight in enumerate(found.model.parameters()):
            wanted = found.look.weights[0][place]
            for count, later in enumerate(found.look.weights[1:], start=1):
                wanted = rule(wanted, later[place], count)
            torch.testing.assert_close(weight.detach(), wanted)

    return check


def rate_is_logged(found: Fit, plain: Fit) -> None:
    same(found, plain)
    rates = found.trainer.logger.figures["lr-AdamATan2"]
    assert rates == pytest.approx([0.01 * step / 12 for step in range(1, STEPS + 1)])


def size_is_found(found: Fit, plain: Fit) -> None:
    assert found.data.batch_size == 2 * BATCH
    assert [len(questions) for questions in found.look.questions] == [2 * BATCH] * STEPS


def accumulation_changes(found: Fit, plain: Fit) -> None:
    """Of the three batches of the second epoch, two are a step and one is one."""
    assert found.look.losses[:EPOCH] == plain.look.losses[:EPOCH]
    assert found.trainer.global_step == EPOCH + 2


def half_is_pruned(found: Fit, plain: Fit) -> None:
    assert found.look.losses[:EPOCH] == plain.look.losses[:EPOCH]
    assert found.look.losses[EPOCH:] != plain.look.losses[EPOCH:STEPS]
    pruned = [value for name, value in found.model.state_dict().items() if "blocks.0" in name]
    assert 0.4 < torch.cat([value.flatten() for value in pruned]).eq(0).float().mean() < 0.9


class LateEncoder(shipped.BaseFinetuning):
    """Trains the encoder from the second epoch on."""

    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.recursion.encoder)

    def finetune_function(self, pl_module, epoch, optimizer):
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.recursion.encoder, optimizer)


def encoder_comes_later(found: Fit, plain: Fit) -> None:
    tokens = [weights[0] for weights in found.look.weights]
    assert tokens[0].shape == found.model.recursion.encoder.token.shape
    assert torch.equal(tokens[0], tokens[EPOCH - 1])
    assert not torch.equal(tokens[EPOCH - 1], tokens[EPOCH])


class Called(shipped.LambdaCallback):
    """Counts batches."""

    def __init__(self) -> None:
        self.count = 0
        super().__init__(on_train_batch_start=self.called)

    def called(self, *_):
        self.count += 1


def was_called(found: Fit, plain: Fit) -> None:
    same(found, plain)
    assert [one.count for one in found.trainer.callbacks if isinstance(one, Called)] == [STEPS]


class Predictions(shipped.BasePredictionWriter):
    """Counts batches and epochs."""

    def __init__(self) -> None:
        super().__init__("batch_and_epoch")
        self.found: list[int] = []

    def write_on_batch_end(self, trainer, pl_module, prediction, *_):
        self.found.append(len(prediction.logits))

    def write_on_epoch_end(self, trainer, pl_module, predictions, batch_indices):
        self.found.append(-len(predictions))


def predictions_arrive(found: Fit, plain: Fit) -> None:
    same(found, plain)
    (writer,) = (one for one in found.trainer.callbacks if isinstance(one, Predictions))
    found.trainer.predict(found.model, datamodule=found.data)
    assert writer.found == [5, -1]


def row(make: Callable[[Path], pl.Callback], check: Check = same, **settings: Any) -> Row:
    return lambda path: {"callbacks": [make(path)], **settings}, check


def saves(check: Check, **settings: Any) -> Row:
    return row(lambda path: saver(path, **settings), check)


CALLBACKS: dict[str, list[Row]] = {
    "BackboneFinetuning": [],  # refused
    "BaseFinetuning": [row(lambda _: LateEncoder(), encoder_comes_later)],
    "BasePredictionWriter": [row(lambda _: Predictions(), predictions_arrive)],
    "BatchSizeFinder": [
        row(
            lambda _: shipped.BatchSizeFinder(init_val=BATCH, max_trials=2, steps_per_trial=1),
            size_is_found,
            enable_checkpointing=True,
        )
    ],
    "Callback": [row(lambda _: pl.Callback())],
    "Checkpoint": [row(lambda _: shipped.Checkpoint())],
    "DeviceStatsMonitor": [],  # below: it depends on what is installed
    "EMAWeightAveraging": [
        row(
            lambda _: shipped.EMAWeightAveraging(decay=0.5, use_buffers=False),
            averages(lambda old, new, _: (old + new) / 2),
        )
    ],
    "EarlyStopping": [
        row(lambda _: shipped.EarlyStopping("val/loss", patience=9)),
        row(
            lambda _: shipped.EarlyStopping("val/exact_accuracy", mode="max", patience=1),
            first(2 * EPOCH),
            max_steps=4 * EPOCH,
        ),
        row(lambda _: shipped.EarlyStopping("loss", stopping_threshold=99.0), first(EPOCH)),
    ],
    "GradientAccumulationScheduler": [
        row(lambda _: shipped.GradientAccumulationScheduler({0: 1})),
        row(lambda _: shipped.GradientAccumulationScheduler({1: 2}), accumulation_changes, max_epochs=2),
    ],
    "LambdaCallback": [row(lambda _: Called(), was_called)],
    "LearningRateFinder": [],  # refused
    "LearningRateMonitor": [
        row(lambda _: shipped.LearningRateMonitor(), rate_is_logged, logger=Notes(), log_every_n_steps=1)
    ],
    "ModelCheckpoint": [
        saves(wrote("2.ckpt", "4.ckpt", "6.ckpt"), every_n_train_steps=2, save_top_k=-1),
        saves(wrote("4.ckpt", "last.ckpt"), every_n_train_steps=4, save_last=True),
        saves(wrote("3.ckpt", "6.ckpt"), every_n_epochs=1, save_top_k=-1),
        saves(wrote("6.ckpt", "last.ckpt"), save_on_train_epoch_end=True, save_last="link"),
        saves(wrote(*(f"{n}.ckpt" for n in range(1, 7))), train_time_interval=NOTHING, save_top_k=-1),
        saves(best_is_kept, monitor="val/loss"),
        saves(wrote("3.ckpt", "6.ckpt"), monitor="val/loss", save_top_k=2),
        saves(weights_can_be_loaded, save_weights_only=True),
    ],
    "ModelPruning": [row(lambda _: shipped.ModelPruning("l1_unstructured", amount=0.5), half_is_pruned)],
    "ModelSummary": [row(lambda _: shipped.ModelSummary(-1), enable_model_summary=True)],
    "OnExceptionCheckpoint": [row(lambda path: shipped.OnExceptionCheckpoint(path), wrote())],
    "ProgressBar": [row(lambda _: shipped.ProgressBar(), has_bar, enable_progress_bar=True)],
    "RichModelSummary": [row(lambda _: shipped.RichModelSummary(), enable_model_summary=True)],
    "RichProgressBar": [row(lambda _: shipped.RichProgressBar(), has_bar, enable_progress_bar=True)],
    "SpikeDetection": [row(lambda path: shipped.SpikeDetection(rtol=9.0, exclude_batches_path=path / "x"))],
    "StochasticWeightAveraging": [],  # refused
    "TQDMProgressBar": [row(lambda _: shipped.TQDMProgressBar(), has_bar, enable_progress_bar=True)],
    "ThroughputMonitor": [
        row(
            lambda _: shipped.ThroughputMonitor(lambda batch: len(batch.inputs), window_size=2),
            logged("batches_per_sec"),
            logger=Notes(),
            log_every_n_steps=1,
        )
    ],
    "Timer": [row(lambda _: shipped.Timer(HOUR)), row(lambda _: shipped.Timer(NOTHING), first(0))],
    "WeightAveraging": [
        row(lambda _: shipped.WeightAveraging(), averages(lambda old, new, n: old + (new - old) / (n + 1)))
    ],
}


@pytest.mark.parametrize(("settings", "check"), rows(CALLBACKS))
def test_a_callback_does_what_it_says_and_nothing_else(plain, tmp_path, settings, check):
    check(fit(tmp_path, **settings(tmp_path)), plain)


def test_no_callback_is_left_out():
    assert set(shipped.__all__) <= CALLBACKS.keys()


def test_device_stats_need_a_package_and_say_which(plain, tmp_path):
    settings = {"callbacks": [shipped.DeviceStatsMonitor()], "logger": Notes(), "log_every_n_steps": 1}
    if importlib.util.find_spec("psutil"):
        logged("DeviceStatsMonitor")(fit(tmp_path, **settings), plain)
    else:
        with pytest.raises(ModuleNotFoundError, match=r"psutil.*pip install"):
            fit(tmp_path, **settings)


def test_a_scheduled_accumulation_resumes_within_an_epoch_and_between_two(tmp_path):
    """Fails if a checkpoint is compared with the trainer before the scheduler was asked."""

    def scheduler() -> pl.Callback:
        return shipped.GradientAccumulationScheduler({1: 2})

    class Save(shipped.Checkpoint):
        def on_train_batch_end(self, trainer, *_):
            trainer.save_checkpoint(tmp_path / f"{trainer.fit_loop.total_batch_idx + 1}.ckpt")

    whole = fit(tmp_path, callbacks=[scheduler(), Save()], max_epochs=3, max_steps=-1)
    for done in (EPOCH, EPOCH + 2, 2 * EPOCH):
        part = fit(tmp_path, tmp_path / f"{done}.ckpt", callbacks=[scheduler()], max_epochs=3, max_steps=-1)
        assert part.look.losses == whole.look.losses[done:]
        pairs = zip(part.model.parameters(), whole.model.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_an_exception_leaves_a_checkpoint_that_resumes(plain, tmp_path):
    class Fail(pl.Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 4:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(tmp_path, callbacks=[shipped.OnExceptionCheckpoint(tmp_path), Fail()])
    (path,) = tmp_path.glob("*.ckpt")
    with pytest.warns(UserWarning, match="was written after an error: training goes on, but not as"):
        again = fit(tmp_path, path)
    assert torch.equal(again.look.questions[0], plain.look.questions[4])  # the batch that failed comes again
    assert len(again.look.losses) == STEPS - 4

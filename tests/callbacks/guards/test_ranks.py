"""What reaches one of two ranks stops both, after the same step. Run apart, so that a deadlock fails."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from helpers import module
from lightning.pytorch.callbacks import ModelCheckpoint
from ranks import run_two
from training.test_distributed import Questions

from recurlight import DurableCheckpointIO
from recurlight.callbacks import StopOnNonFinite, StopOnSignal
from recurlight.callbacks.guards import agreement
from recurlight.errors import RecurlightError

STEP = 3
"""The step in which something happens to the second rank alone, of 6."""


class Happen(pl.Callback):
    def __init__(self, what: str) -> None:
        self.what = what

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step + 1 != STEP or trainer.global_rank != 1:
            return
        if self.what == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        if self.what == "loss":
            loss.data.add_(torch.nan)  # the gradients stay finite
        if self.what == "carry":
            pl_module.carries[0].state.latent[1, 0, 0] = torch.inf


CASES = [("signal", "at once"), ("signal", "late"), ("loss", "late"), ("carry", "at once")]
"""What happens, and whether ranks learn of it in the same step, as on a CPU, or in the next, as on CUDA."""


def run(what: str, delay: str, path: Path) -> None:
    """Train until it stops, and write down how."""
    agreement.runs_ahead = lambda device: delay == "late"
    every = {"save_last": True, "save_top_k": -1, "every_n_train_steps": 1}
    kept = ModelCheckpoint(path / what / delay, "{step}", **every)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_steps=6,
        logger=False,
        use_distributed_sampler=False,
        callbacks=[Happen(what), StopOnNonFinite(), StopOnSignal(), kept],
        plugins=[DurableCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = module()
    told, status = "", 0
    try:
        trainer.fit(model, Questions())
    except RecurlightError as error:
        told, status = str(error), error.status
    weights = torch.cat([weight.detach().flatten() for weight in model.parameters()])
    found = {"told": told, "status": status, "step": trainer.global_step, "sum": weights.sum().item()}
    (path / f"{what}.{delay}.{trainer.global_rank}").write_text(json.dumps(found))


def run_all(path: str) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    for what, delay in CASES:
        run(what, delay, Path(path))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ranks")
    code = f"import callbacks.guards.test_ranks as t; t.run_all({str(path)!r})"
    run_two(code, path, Path(__file__).parents[1], timeout=300)
    return path


def both(outcome: Path, what: str, delay: str) -> list[dict]:
    return [json.loads((outcome / f"{what}.{delay}.{rank}").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("delay", ["at once", "late"])
def test_a_signal_to_one_rank_stops_both_after_the_same_step(outcome, delay):
    """Mutation: ask only this rank whether a signal came."""
    left, right = both(outcome, "signal", delay)
    stop = STEP if delay == "at once" else STEP + 1
    assert left == right
    assert left["status"] == 143
    assert left["step"] == stop
    assert left["told"].startswith(f"stopped by SIGTERM after training step {stop}; go on with")
    saved = torch.load(outcome / "signal" / delay / "last.ckpt", weights_only=True)
    assert saved["global_step"] == stop


@pytest.mark.parametrize(
    ("what", "delay", "where"),
    [("loss", "late", "the loss (nan)"), ("carry", "at once", "latent of the carry in slot 1 (inf)")],
)
def test_a_flaw_on_one_rank_stops_both_and_is_named_on_both(outcome, what, delay, where):
    """Mutation: judge by this rank's own flaw."""
    left, right = both(outcome, what, delay)
    assert left == right
    assert left["status"] == 2
    assert left["told"].startswith(f"training step {STEP} is not finite: on rank 1 {where}")
    assert "rank 0" not in left["told"]
    assert left["sum"] == left["sum"]
    files = [path.name for path in (outcome / what / delay).iterdir()]
    assert sorted(files) == ["last.ckpt", "step=1.ckpt", "step=2.ckpt"]

"""Processes that Lightning spawns or forks from this one compute what this one computes alone.

A spawned process shares the memory of tensors that are neither parameter nor buffer, unless it makes its own.
"""

from __future__ import annotations

import json
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from helpers import module, trainer
from resuming import Shifts

from recurlight.codec.task_table import SparseTable
from recurlight.codec.tokens import TokenEncoder
from recurlight.training.module import RecursiveModule


class Report(pl.Callback):
    """Writes how many puzzles each validation counted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            with self.path.open("a") as file:
                file.write(json.dumps(pl_module.measured.puzzles) + "\n")


def made() -> RecursiveModule:
    encoder = TokenEncoder(task_table=SparseTable(lr=0.1))
    return module(prefix=1, encoder=encoder)


def fit(path: Path, **settings) -> tuple[RecursiveModule, dict[str, float], list[int]]:
    """Train with validation in between; return the model, what was logged last, and the counts."""
    model = made()
    run = trainer(max_steps=6, val_check_interval=2, callbacks=[Report(path)], **settings)
    run.fit(model, Shifts())
    logged = {name: value.item() for name, value in run.callback_metrics.items()}
    return model, logged, list(map(json.loads, path.read_text().split()))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("alone") / "counts")


@pytest.mark.filterwarnings("ignore:.*fork")
@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_two_processes_started_from_here_equal_one(alone, tmp_path, capfd, strategy):
    """Fails if counters or a table's rows lie in memory that both processes write to."""
    model, logged, counts = fit(tmp_path / "counts", devices=2, strategy=strategy)
    assert counts == alone[2] == [5, 5, 5]
    assert logged == pytest.approx(alone[1], abs=1e-6)
    weights = alone[0].state_dict()
    assert "recursion.encoder.task_table.rows" in weights
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=1e-6)
    assert "sync_dist" not in capfd.readouterr().err  # the advice to average figures that are sums already


@pytest.mark.filterwarnings("ignore:.*fork", "ignore:.*overfit")
def test_two_processes_overfit_the_batches_of_one(tmp_path):
    """Fails if Lightning replaces the order of the batches, and then deals whole batches out to the ranks."""
    one = fit(tmp_path / "one", overfit_batches=2)
    two = fit(tmp_path / "two", overfit_batches=2, devices=2, strategy="ddp_fork")
    assert two[1] == pytest.approx(one[1], abs=1e-6)
    assert one[2] == two[2] == [5, 5, 5]

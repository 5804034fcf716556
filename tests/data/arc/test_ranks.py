"""Two processes train a task table and vote on ARC as one does."""

from __future__ import annotations

import json
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from codec.test_task_table import batches, made, rows_of
from helpers import loader
from ranks import run_two

from data.arc.made import small
from recurlight.data import ArcData
from recurlight.data.counter import mix
from recurlight.types import Batch, Prediction

ROWS, STEPS = 8, 6


class Questions(pl.LightningDataModule):
    """Global batches, each rank taking its block of rows; tasks repeat within a rank and across ranks."""

    def train_dataloader(self):
        rank, share = self.trainer.global_rank, ROWS // self.trainer.world_size
        rows = slice(rank * share, (rank + 1) * share)
        whole = [one._replace(task=one.task % 7) for one in batches(STEPS, ROWS)]
        return loader([Batch(*(leaf[rows] for leaf in one)) for one in whole])


class Record(pl.Callback):
    """Keeps the rows after every step and, at the end, what the vote says, in a file for each rank."""

    def __init__(self, path: str, arc: str) -> None:
        self.path, self.arc = path, arc
        self.rows: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.rows.append(rows_of(pl_module).clone())

    def on_train_end(self, trainer, pl_module):
        rank, world = trainer.global_rank, trainer.world_size
        name = f"{self.path}/{world}.{rank}"
        text, figures = vote(self.arc, trainer, name)
        weights = torch.cat([weight.detach().flatten() for weight in pl_module.parameters()])
        torch.save({"rows": self.rows, "weights": weights, "text": text, "figures": figures}, name + ".pt")


def vote(arc: str, trainer: pl.Trainer, folder: str):
    """Let a voter that is right in some variants answer this rank's rows; labels unknown for one run."""
    data = ArcData("json", path=arc, augmentations=8, canvas=4, eval_batch_size=5, report=folder)
    data.trainer = trainer
    metric = data.task_metric("test")
    for batch in data.test_dataloader():
        keys = mix(batch.task.numpy().astype(np.uint64))
        tokens = batch.labels.clamp(min=0).where(torch.from_numpy(keys % np.uint64(3) > 0)[:, None], 5)
        confidence = torch.from_numpy((keys >> np.uint64(40)).astype(np.float32) / 2**24)
        logits = torch.nn.functional.one_hot(tokens, 12).float()
        metric.update(batch, Prediction(logits, confidence, confidence, confidence), 1)
    figures = {key: value.item() for key, value in metric.compute().items()}
    return metric.table().replace(folder, "FOLDER"), figures


def fit(path: str, arc: str, devices: int) -> None:
    torch.set_num_threads(1)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        max_steps=STEPS,
        logger=False,
        use_distributed_sampler=False,
        callbacks=[Record(path, arc)],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(made(), Questions())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder, and what one process, the first and the second of two recorded."""
    path = tmp_path_factory.mktemp("ranks")
    arc = small(path / "arc")
    run_two(f"import data.arc.test_ranks as t; t.fit({str(path)!r}, {str(arc)!r}, 2)", path)
    fit(str(path), str(arc), 1)
    return path, *(torch.load(path / f"{name}.pt") for name in ("1.0", "2.0", "2.1"))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_two_ranks_train_the_rows_of_one_process(runs):
    """Fails if a rank updates its own rows alone, or a row on both ranks takes two steps."""
    _, one, left, right = runs
    for step in range(STEPS):
        assert torch.equal(left["rows"][step], right["rows"][step])
        torch.testing.assert_close(left["rows"][step], one["rows"][step], rtol=0, atol=1e-10)
    assert torch.equal(left["weights"], right["weights"])
    torch.testing.assert_close(left["weights"], one["weights"], rtol=0, atol=1e-10)
    assert 4 < (one["rows"][-1].abs().sum(1) > 0).sum() < 8  # fewer than slots: rows repeat


def test_two_ranks_vote_as_one_process(runs):
    """Fails if a rank counts its own votes alone, padding votes, or a rank above zero writes files."""
    path, one, left, right = runs
    assert one["figures"] == left["figures"] == right["figures"]
    assert one["text"] == left["text"] == right["text"]
    assert 0.4 < one["figures"]["pass_at_2"] <= 1
    files = [(path / name / "submission.json").read_text() for name in ("1.0", "2.0")]
    assert files[0] == files[1]
    assert list(json.loads(files[0])) == ["cc", "dd"]
    assert (path / "1.0/tasks.csv").read_text() == (path / "2.0/tasks.csv").read_text()
    assert not Path(path / "2.1").exists()

"""The data under Lightning's loops."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from recurlight.types import Batch

from .numbers import Numbers


class Recorder(pl.LightningModule):
    """Keeps the labels of each batch that Lightning hands over."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        self.seen.append(batch.labels[:, 0].tolist())
        return self.weight * 0.0

    def validation_step(self, batch: Batch, _: int) -> None:
        pass

    def predict_step(self, batch: Batch, _: int) -> torch.Tensor:
        return batch.inputs[:, 0]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(path, **settings) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(accelerator="cpu", devices=1, default_root_dir=path, **quiet, **settings)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stop", [2, 3, 4])
def test_lightning_resumes_the_stream_where_it_stopped(tmp_path, stop):
    settings = {"batch_size": 4, "epoch_samples": 12}
    whole, first, second = Recorder(), Recorder(), Recorder()
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=stop, filename="{step}", save_top_k=-1)
    trainer(tmp_path, max_steps=7, enable_checkpointing=False).fit(whole, Numbers(**settings))
    trainer(tmp_path, max_steps=5, callbacks=[saver]).fit(first, Numbers(**settings))
    resumed = trainer(tmp_path, max_steps=7, enable_checkpointing=False)
    resumed.fit(second, Numbers(**settings), ckpt_path=tmp_path / f"step={stop}.ckpt", weights_only=False)
    assert len(whole.seen) == 7
    assert first.seen[:stop] + second.seen == whole.seen


@pytest.mark.filterwarnings("ignore")
def test_lightning_predicts_the_test_puzzles(tmp_path):
    data = Numbers(batch_size=2)
    rows = trainer(tmp_path, enable_checkpointing=False).predict(Recorder(), data)
    assert torch.cat(rows).tolist() == [0, 1, 2, 3, 4]

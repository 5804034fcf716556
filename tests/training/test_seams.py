"""Where parts that were written apart meet: averaging, tables, checks and the trainer's leftovers."""

from __future__ import annotations

import copy
from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from helpers import batch, loader, module, trainer
from lightning.pytorch.callbacks import EMAWeightAveraging

from recurlight.callbacks import StopOnNonFinite
from recurlight.checkpoints.contents import data_made_with
from recurlight.codec.task_table import SparseTable
from recurlight.codec.tokens import TokenEncoder
from recurlight.data import SudokuData
from recurlight.errors import IncompatibleComponents, NonFiniteError
from recurlight.training.attached import attached_data


def test_a_test_after_averaging_measures_the_weights_of_the_checkpoint(tmp_path):
    """Fails if the averaging callback's own weights, which it loads in every stage, are left in place."""
    model = module()
    run = trainer(max_steps=3, callbacks=[EMAWeightAveraging(decay=0.5, use_buffers=False)])
    path = tmp_path / "x.ckpt"

    class Save(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 2:
                trainer.save_checkpoint(path)

    run.callbacks.append(Save())
    run.fit(model, loader([batch(4, seed) for seed in range(3)]))
    saved = torch.load(path, weights_only=True)
    name = next(name for name, _ in model.named_parameters())
    assert not torch.equal(saved["state_dict"][name], saved["current_model_state"][name])
    seen = []
    model.on_test_epoch_start = lambda: seen.append(model.state_dict()[name].clone())
    run.test(model, loader([batch(4)]), ckpt_path=path, verbose=False, weights_only=True)
    assert torch.equal(seen[0], saved["state_dict"][name])


def test_a_copied_table_shares_rows_until_others_are_loaded():
    """Fails if loading into a copy is ignored, or changes the original."""
    table = SparseTable()
    table.allocate(rows=4, width=2)
    twin = copy.deepcopy(table)
    twin.load_state_dict(table.state_dict())
    assert twin.rows.data_ptr() == table.rows.data_ptr()
    twin.load_state_dict({"rows": torch.ones(4, 2)})
    assert twin.rows.eq(1).all()
    assert table.rows.eq(0).all()


def test_loaders_given_after_a_data_module_are_not_taken_for_it(tmp_path, monkeypatch):
    """Fails if the trainer's leftover data module is believed: figures would carry another data's hash."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    data = SudokuData(size=4, num_train=4, num_val=4, num_test=4, batch_size=4, epoch_samples=4)
    model, run = module(), trainer(max_steps=1)
    run.fit(model, datamodule=data)
    assert attached_data(run) is data
    run.test(model, dataloaders=data.test_dataloader(), verbose=False)
    assert run.datamodule is data
    assert attached_data(run) is None


def test_a_checkpoint_describes_the_data_of_its_own_training(tmp_path, monkeypatch):
    """Fails if what the trainer had before, or was given since, is written for what it trained on."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    data = SudokuData(size=4, num_train=4, num_val=4, num_test=4, batch_size=4, epoch_samples=4)
    run = trainer(max_steps=1)
    run.fit(module(), datamodule=data)
    run.save_checkpoint(tmp_path / "data.ckpt")
    run.test(run.model, dataloaders=data.test_dataloader(), verbose=False)
    run.save_checkpoint(tmp_path / "tested.ckpt")
    run = trainer(max_steps=1)
    run.fit(module(), train_dataloaders=data.train_dataloader())
    run.save_checkpoint(tmp_path / "loaders.ckpt")
    run.test(run.model, datamodule=data, verbose=False)
    run.save_checkpoint(tmp_path / "other.ckpt")
    made = {path.stem: data_made_with(torch.load(path)) for path in tmp_path.glob("*.ckpt")}
    assert made["data"]["init_args"]["size"] == 4
    assert made["tested"] == made["data"]
    assert made["loaders"] is made["other"] is None


def test_a_check_that_fired_is_ready_for_another_run():
    """Fails if what an earlier run met is blamed on a sound model."""
    check, broken = StopOnNonFinite(), module()
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteError):
        trainer(max_steps=1, callbacks=[check]).fit(broken, loader([batch(4)]))
    trainer(callbacks=[check]).validate(module(), loader([batch(4)]), verbose=False)
    trainer(max_steps=1, callbacks=[check]).fit(module(), loader([batch(4)]))


def test_a_schedule_that_sets_rates_is_refused_beside_a_table():
    """Fails if the table, whose rate is far larger, silently learns with that of the parameters."""
    encoder = TokenEncoder(task_width=20, task_table=SparseTable(lr=0.01))
    sets = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1e-3, total_steps=10)
    with pytest.raises(IncompatibleComponents, match=r"OneCycleLR gives the same .* own, 0\.\d+, 0\.01: use"):
        trainer(max_steps=1).fit(module(encoder=encoder, prefix=2, scheduler=sets), loader([batch(4)]))
    both = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=[1e-3, 0.1], total_steps=10)
    trainer(max_steps=1).fit(module(encoder=encoder, prefix=2, scheduler=both), loader([batch(4)]))
    scales = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)
    model = module(encoder=encoder, prefix=2, scheduler=scales)
    trainer(max_steps=1).fit(model, loader([batch(4)]))
    assert model.optimizers().param_groups[1]["lr"] == 0.005
    trainer(max_steps=1).fit(module(scheduler=sets), loader([batch(4)]))

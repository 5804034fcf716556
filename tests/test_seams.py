"""Where parts that were written apart meet: averaging, tables, checks and the trainer's leftovers."""

from __future__ import annotations

import copy

import lightning.pytorch as pl
import pytest
import torch
from helpers import batch, loader, module, trainer
from lightning.pytorch.callbacks import EMAWeightAveraging

from recurlight.callbacks import StopOnNonFinite
from recurlight.data import SudokuData
from recurlight.errors import NonFiniteError
from recurlight.fingerprint import evaluated_data
from recurlight.sparse_table import SparseTable


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
    assert evaluated_data(run) is data
    run.test(model, dataloaders=data.test_dataloader(), verbose=False)
    assert run.datamodule is data
    assert evaluated_data(run) is None


def test_a_check_that_fired_is_ready_for_another_run():
    """Fails if what an earlier run met is blamed on a sound model."""
    check, broken = StopOnNonFinite(), module()
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteError):
        trainer(max_steps=1, callbacks=[check]).fit(broken, loader([batch(4)]))
    trainer(callbacks=[check]).validate(module(), loader([batch(4)]), verbose=False)
    trainer(max_steps=1, callbacks=[check]).fit(module(), loader([batch(4)]))

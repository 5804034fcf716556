"""Lightning's tuner, which trains the model a few steps without the trainer's callbacks."""

from __future__ import annotations

import pytest
from features import fit, prepared, same
from lightning.pytorch.tuner import Tuner
from resuming import BATCH

from recurlight.errors import IncompatibleComponents

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("mode", ["power", "binsearch"])
def test_the_tuner_finds_a_batch_size_and_then_trains_as_ever(tmp_path, mode):
    """Fails if slots of another size stay, or if the number of batches is taken for that of samples."""
    found = prepared(tmp_path, {"enable_checkpointing": True})
    tuner = Tuner(found.trainer)
    settings = {"mode": mode, "init_val": BATCH, "max_trials": 3, "steps_per_trial": 1, "margin": 0.0}
    assert tuner.scale_batch_size(found.model, datamodule=found.data, **settings) == 4 * BATCH
    found.data.batch_size = BATCH
    found.trainer.fit(found.model, found.data)
    same(found, fit(tmp_path))


def test_the_tuner_finds_a_learning_rate_and_then_trains_as_ever(tmp_path):
    found = prepared(tmp_path, {"enable_checkpointing": True})
    search = Tuner(found.trainer).lr_find(
        found.model, datamodule=found.data, num_training=15, update_attr=False
    )
    assert 1e-8 < search.suggestion() < 1
    found.look.losses.clear()
    found.trainer.fit(found.model, found.data)
    same(found, fit(tmp_path))


def test_the_tuner_is_told_how_to_hand_over_a_learning_rate(tmp_path):
    found = prepared(tmp_path, {"enable_checkpointing": True})
    with pytest.raises(IncompatibleComponents, match=r"update_attr=False.*suggestion\(\)"):
        Tuner(found.trainer).lr_find(found.model, datamodule=found.data)

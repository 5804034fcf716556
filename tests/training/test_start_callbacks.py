"""Callbacks that cannot train a model are refused before anything is trained."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
from features import fit
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.spike import TrainingSpikeException
from lightning.pytorch import callbacks as shipped

from recurlight.errors import IncompatibleComponents

pytestmark = pytest.mark.filterwarnings("ignore")

PRUNING = shipped.ModelPruning("l1_unstructured", amount=0.5)

REFUSED: list[tuple[list[pl.Callback], type[Exception], str]] = [
    ([shipped.BackboneFinetuning()], IncompatibleComponents, "BackboneFinetuning"),
    ([shipped.LearningRateFinder()], IncompatibleComponents, "LearningRateFinder"),
    ([shipped.StochasticWeightAveraging(swa_lrs=0.1)], IncompatibleComponents, "StochasticWeightAveraging"),
    ([PRUNING, shipped.WeightAveraging()], IncompatibleComponents, "ModelPruning"),
    ([shipped.LearningRateMonitor()], MisconfigurationException, "LearningRateMonitor"),
    ([shipped.SpikeDetection(warmup=0, rtol=1e-9)], TrainingSpikeException, "spike detected"),
]


@pytest.mark.parametrize(
    ("callbacks", "error", "words"), REFUSED, ids=[type(case[0][0]).__name__ for case in REFUSED]
)
def test_a_callback_that_cannot_work_is_named_in_one_line(tmp_path, monkeypatch, callbacks, error, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words) as refusal:
        fit(tmp_path, callbacks=callbacks)
    assert "\n" not in str(refusal.value)

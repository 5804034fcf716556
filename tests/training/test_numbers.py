"""Questions and answers that are numbers, from the first step to the predictions."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from data.fields import Fields, fields
from helpers import attention, loader, mixer, opinionated, trainer
from resuming import Everywhere, Fitted, deviations, disturb

from recurlight import (
    AdamATan2,
    CorrectnessHalting,
    FixedHalting,
    LastCycles,
    LinearWarmup,
    LinearWarmupCosine,
    MeanSquaredError,
    RecursiveModule,
    TwoLevelRefiner,
)
from recurlight.callbacks import PredictionWriter, SamplePictures
from recurlight.errors import IncompatibleComponents
from recurlight.training.fingerprint import data_digest

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*isinstance.treespec, LeafSpec",
    "ignore:.*`weights_only` was not set",
    "ignore:.*Found . module.s. in eval mode",
)


def data(**settings) -> Fields:
    return Fields(**({"counts": (64, 9, 5), "batch_size": 8, "epoch_samples": 48} | settings))


def model(fields, **settings) -> RecursiveModule:
    base = {"width": 8, "cycles": 2, "max_segments": 4, "exploration": 0.3, "loss": MeanSquaredError(0.5)}
    parts = {"refiner": TwoLevelRefiner(mixer(), latent_steps=1), "truncation": LastCycles(1)}
    parts |= {"halting": CorrectnessHalting()}
    base |= {"optimizer": partial(AdamATan2, lr=0.01), "scheduler": partial(LinearWarmup, warmup=12)}
    made = RecursiveModule.for_data(fields, **(parts | base | settings))
    if list(made.recursion.halting.parameters()):
        opinionated(made.recursion, spread=0.5)
    return made


def test_a_field_is_learnt():
    """The mean of two numbers, to a tenth of the error that saying zero would leave."""
    ours = data(counts=(2000, 50, 5), epoch_samples=3200, vary=False)
    refiner = TwoLevelRefiner(attention(), latent_steps=1)
    settings = {"width": 16, "exploration": 0.0, "max_segments": 2}
    settings |= {"scheduler": partial(LinearWarmupCosine, warmup=12, total=400)}
    made = model(ours, refiner=refiner, halting=FixedHalting(), **settings)
    run = trainer(max_steps=400)
    run.fit(made, ours)
    figures = {name: value.item() for name, value in run.callback_metrics.items()}
    assert figures["val/error_at_2"] < 0.1
    assert figures["val/exact_accuracy"] == 1
    assert "val/token_accuracy" not in figures


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    """Fails if a carry of numbers, and NaN in it, does not come back as it was."""
    ours = data()
    whole = Fitted(Everywhere(tmp_path), made=model(ours), data=ours, max_steps=9)
    for point in ("03-batch", "06-epoch"):
        disturb()
        again = Fitted(made=model(data()), data=data(), resume=tmp_path / f"{point}.ckpt", max_steps=9)
        assert deviations(whole, again) == []
    sizes = RecursiveModule.load_from_checkpoint(tmp_path / "03-batch.ckpt").recursion.sizes
    assert (sizes.features, sizes.targets) == (2, 1)


def test_the_fingerprint_tells_fields_apart_that_differ_behind_the_point():
    """Fails if numbers are hashed as tokens are, cut to integers."""
    other = fields(6)
    other.inputs[5, 0, 1] += 0.01
    assert data_digest(fields(6)) == data_digest(fields(6))
    assert data_digest(fields(6)) != data_digest(other)


def test_a_model_of_other_numbers_is_refused_before_it_trains():
    tokens = data()
    tokens.features, tokens.vocab_size = 0, 5  # what the model is made for
    with pytest.raises(IncompatibleComponents, match="pass the data module's features to the m") as caught:
        trainer(max_steps=1).fit(model(tokens), data())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["inputs", "labels"])
def test_numbers_that_are_not_finite_are_refused_in_the_first_batch(where):
    """Fails if a loader of the user's own can train a model to NaN."""
    ours, made = data(), model(data())
    batch = next(iter(ours.val_dataloader()))
    getattr(batch, where)[2, 1] = torch.inf
    with pytest.raises(IncompatibleComponents, match=rf"batch\.{where} has a number that is not finite"):
        trainer(max_steps=1).fit(made, loader([batch]))


def test_predictions_are_written_as_numbers(tmp_path, capsys):
    """Fails if numbers are cut to tokens, NaN is written, or `exact` is another rule than the loss's."""
    ours = data()
    made = model(ours, loss=MeanSquaredError(2.0))
    writer = PredictionWriter(str(tmp_path / "found.jsonl"))
    found = trainer(callbacks=[writer]).predict(made, ours)
    records = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    test = ours.splits.test
    np.testing.assert_allclose([record["question"] for record in records], test.inputs, rtol=1e-6)
    np.testing.assert_allclose([r["prediction"] for r in records], found[0].logits, rtol=1e-6)
    assert all(record["answer"][3] == [None] for record in records)
    right = MeanSquaredError(2.0).right(found[0].logits, torch.tensor(test.labels))
    assert [record["exact"] for record in records] == right.tolist()
    assert "prediction, error " in capsys.readouterr().out


def test_fields_are_drawn_in_shades(tmp_path):
    pytest.importorskip("matplotlib")
    ours = data()
    pictures = SamplePictures(count=2, folder=str(tmp_path))
    trainer(callbacks=[pictures]).validate(model(ours), ours, verbose=False)
    assert (tmp_path / "val_000000.png").stat().st_size > 1000
    numbers = torch.tensor([[[-1.0], [-0.95], [0.0], [0.99], [7.0], [torch.nan]]])
    assert ours.levels(numbers).tolist() == [[1, 1, 5, 9, 9, 0]]
    ours.drawn_from = (0.0, 10.0)
    assert ours.levels(numbers).tolist() == [[1, 1, 1, 1, 7, 0]]

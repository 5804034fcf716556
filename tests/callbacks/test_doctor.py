"""Figures of the dynamics in the logger, of a run that they do not change."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from features import Notes
from helpers import batch, loader, module, trainer

from recurlight.callbacks import Doctor
from recurlight.callbacks.doctor import examined
from recurlight.errors import IncompatibleComponents

ASKED = [batch(6, seed=3), batch(6, seed=4)]


class Steps(Notes):
    """Also keeps at which steps something was logged of the doctor."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []

    def log_metrics(self, metrics, step=None):
        super().log_metrics(metrics, step)
        self.steps += [step] if "doctor/radius" in metrics else []


def fit(callbacks, notes=None, **settings):
    model, steps = module(), loader([batch(4, seed=n) for n in range(2)])
    run = trainer(max_epochs=4, callbacks=callbacks, logger=notes or False, **settings)
    run.fit(model, steps, loader(ASKED))
    return model


@pytest.mark.filterwarnings("ignore")
def test_the_figures_are_those_of_an_examination():
    """Fails if validation's mode keeps gradients away, or other samples, settings or names are taken."""
    notes, model = Steps(), module(eval_segments=3, eval_cycles=1, eval_seed=5)
    trainer(callbacks=[Doctor(samples=5)], logger=notes).validate(model, loader(ASKED), verbose=False)
    first = type(ASKED[0])(*(field[:5] for field in ASKED[0]))
    expected = {f"doctor/{name}": [value] for name, value in examined(model, [first]).scalars().items()}
    found = {name: value for name, value in notes.figures.items() if name.startswith("doctor/")}
    assert found == expected
    assert {"doctor/radius", "doctor/cosine", "doctor/calibration_error", "doctor/broken"} <= {*found}


@pytest.mark.filterwarnings("ignore")
def test_it_comes_at_epochs_and_changes_nothing():
    """Fails if it counts otherwise, also before training, or disturbs generators, gradients or the carry."""
    notes = Steps()
    plain, watched = fit([]), fit([Doctor(every=2)], notes, num_sanity_val_steps=1)
    assert notes.steps == [4, 8]
    for one, other in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other)


class Own(pl.LightningModule):
    def training_step(self, batch, batch_idx):
        return None

    def configure_optimizers(self):
        return None


@pytest.mark.filterwarnings("ignore")
def test_what_it_cannot_examine_is_refused_first():
    """Each fails if it comes to light only at the first validation."""
    with pytest.raises(IncompatibleComponents, match="Doctor got every=0: give 1 or more"):
        Doctor(every=0)
    with pytest.raises(IncompatibleComponents, match="Doctor examines a RecursiveModule and Own is none"):
        trainer(callbacks=[Doctor()], max_steps=1).fit(Own(), loader(ASKED))

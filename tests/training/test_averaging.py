"""Averaged weights are what their formula says, for any decay and period."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers import batch, loader, module, trainer
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.nn.utils import parameters_to_vector
from torch.optim.swa_utils import AveragedModel

from recurlight.training.run import Run


class Record(Callback):
    """Weights after every step."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.weights.append(parameters_to_vector(pl_module.parameters()).detach().clone())


@given(decay=st.floats(0.01, 0.999), steps=st.integers(1, 6), every=st.integers(1, 3))
@settings(max_examples=6)
def test_the_average_is_the_closed_form(decay, steps, every):
    """Fails if the callback averaged before the optimizer's step, or another set of weights."""
    record, made = Record(), module()
    average = EMAWeightAveraging(decay=decay, use_buffers=False, update_every_n_steps=every)
    train = loader([batch(4, seed=step) for step in range(steps)])
    trainer(max_steps=steps, callbacks=[record, average]).fit(made, train)
    used = record.weights[::every]
    count = len(used) - 1
    shares = [decay**count, *((1 - decay) * decay ** (count - k) for k in range(1, count + 1))]
    expected = sum(share * weights for share, weights in zip(shares, used, strict=True))
    found = parameters_to_vector(made.parameters()).detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("asked", "expected"), [(None, "meta"), ("cpu", "cpu")])
def test_the_average_is_where_the_weights_are_unless_another_device_is_asked_for(asked, expected):
    """Lightning makes it before the model is moved; on the CPU every update would fetch all weights."""
    average, made = EMAWeightAveraging(device=asked), module()
    average._average_model = AveragedModel(made)
    made.to("meta")
    Run().on_train_start(SimpleNamespace(callbacks=[average]), made)
    assert {weight.device.type for weight in average._average_model.parameters()} == {expected}

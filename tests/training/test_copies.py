"""A model can be copied, pickled and sent to another process at any time, and is its own there."""

from __future__ import annotations

import copy
import io
import pickle
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from codec.test_task_table import made as tabled
from codec.test_task_table import rows_of
from helpers import batch
from saved_models import answers, made, trained
from torchmetrics import Metric

from recurlight import CorrectnessHalting, LinearWarmup


def pickled(model):
    return pickle.loads(pickle.dumps(model))  # its own bytes


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled, saved])
def test_a_model_is_copied_before_and_after_training(duplicate, tmp_path):
    """Fails if a model keeps what cannot be copied: a trainer, a lock, a function made on the way."""
    model = made(halting=CorrectnessHalting(), scheduler=LinearWarmup)
    fresh = duplicate(model)
    trained(model, tmp_path / "model.ckpt", steps=3)
    assert model.carries
    twin = duplicate(model)
    assert twin.carries is twin.run.carries
    assert torch.equal(answers(twin), answers(model))
    trained(fresh, tmp_path / "fresh.ckpt", steps=3)
    assert torch.equal(answers(fresh), answers(model))
    trained(twin, tmp_path / "twin.ckpt")
    assert torch.equal(answers(fresh), answers(model))
    assert not torch.equal(answers(twin), answers(model))


def sent(model):
    """Return the model as a process receives it that torch has spawned."""
    return ForkingPickler.loads(bytes(ForkingPickler.dumps(model)))


def test_a_spawned_process_counts_for_itself():
    """Fails if the metrics of all spawned processes lie in one memory: each puzzle would count twice."""
    model = made()
    one, other = sent(model), sent(model)
    puzzles = batch(4)
    predictions = list(one.recursion.unroll(puzzles, one.evaluation.segments))
    for received in (one, other):
        received.evaluation.update(iter(predictions), puzzles, received.loss)
        assert received.evaluation.measured("val").puzzles == 4
    metrics = [part for part in other.modules() if isinstance(part, Metric)]
    states = [getattr(metric, name) for metric in metrics for name in metric._defaults]
    assert len(states) > 5
    assert not any(state.is_shared() for state in [*states, *other.parameters(), *other.buffers()])


def test_a_spawned_process_trains_its_own_table():
    """Fails if the rows of all spawned processes lie in one memory: each would take the step of every one."""
    model = tabled()
    one, other = sent(model), sent(model)
    rows_of(one)[3] = 7
    assert rows_of(other).abs().sum() == 0

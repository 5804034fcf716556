"""A table of rows as part of a model: hidden from averages, kept in checkpoints, and never copied."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from data.numbers import Numbers
from helpers import batch, loader, mixer, plain_sgd, trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint

from recurlight.checkpoints.weights import require_fitting
from recurlight.codec.task_table import SparseTable
from recurlight.codec.tokens import TokenEncoder
from recurlight.errors import CheckpointMismatch, IncompatibleComponents
from recurlight.halting import CorrectnessHalting, FixedHalting
from recurlight.optim import AdamATan2
from recurlight.recursion.checks import check_batch
from recurlight.refiners import SingleRefiner, TwoLevelRefiner
from recurlight.training.module import RecursiveModule
from recurlight.truncation import EveryUpdate, LastCycles
from recurlight.types import Sizes

SIZES = Sizes(vocab=6, tokens=16, width=16, prefix=2, tasks=50)
LR, DECAY = 0.05, 0.2
ROWS = "recursion.encoder.task_table.rows"


def made(table=True, tasks=50, resize=False, optimizer=plain_sgd, **settings):
    encoder = TokenEncoder(task_width=20, task_table=SparseTable(LR, DECAY, resize) if table else None)
    usual = {"width": 16, "prefix": 2, "cycles": 2, "max_segments": 3, "exploration": 0.5}
    refiner = TwoLevelRefiner(mixer(), latent_steps=1)
    parts = (6, 16, refiner, LastCycles(1), CorrectnessHalting())
    return RecursiveModule(
        *parts, num_tasks=tasks, encoder=encoder, optimizer=optimizer, **(usual | settings)
    ).double()


def rows_of(model):
    return model.recursion.encoder.task_table.rows


def batches(count, rows=6):
    found = [batch(rows, seed=step, sizes=SIZES) for step in range(count)]
    numbers = torch.randint(0, 50, (count, rows), generator=torch.Generator().manual_seed(9))
    return [one._replace(task=numbers[step]) for step, one in enumerate(found)]


def test_steps_equal_a_dense_table_with_sign_descent_written_out():
    """Fails if rows of the loader's batch are trained in place of those that the slots hold."""
    steps = 7
    data = batches(steps)
    sparse, dense = made(), made(table=False)
    trainer(max_steps=steps).fit(sparse, loader(data))
    recursion, task = dense.recursion, dense.recursion.encoder.task
    carry, kept = recursion.start(data[0]), 0
    for step, fresh in enumerate(data):
        dense.zero_grad()
        carry, segment, score = recursion.segment(carry, fresh)
        right = (segment.logits.argmax(-1) == carry.batch.labels).all(1)
        halting = recursion.halting.loss(score, recursion.outcome(carry, right))
        (dense.loss(segment.logits, carry.batch.labels) + 0.5 * halting).mean().backward()
        with torch.no_grad():
            used = carry.batch.task.unique()
            kept += (carry.batch.task != fresh.task).sum().item()
            task[used] = (1 - LR * DECAY) * task[used] - LR * task.grad[used].sign()
            for weight in recursion.parameters():
                if weight is not task:
                    weight -= 0.05 * weight.grad
        carry = recursion.halt(carry, score.detach(), step)
    torch.testing.assert_close(rows_of(sparse), task.data, rtol=0, atol=1e-10)
    weights = dict(dense.named_parameters())
    for name, weight in sparse.named_parameters():
        torch.testing.assert_close(weight, weights[name], rtol=0, atol=1e-10)
    assert kept > 6  # many slots went on with an earlier sample
    assert 6 < (task.abs().sum(1) > 0).sum() < 50


def test_micro_batches_equal_one_batch():
    """Fails if a micro-batch replaces the gradients of the one before."""
    data = batches(2, rows=8)
    halves = [type(one)(*(leaf[part] for leaf in one)) for one in data for part in (slice(4), slice(4, None))]
    whole, parts = made(exploration=0.0), made(exploration=0.0)
    trainer(max_steps=2).fit(whole, loader(data))
    trainer(max_steps=2, accumulate_grad_batches=2).fit(parts, loader(halves))
    torch.testing.assert_close(rows_of(parts), rows_of(whole), rtol=0, atol=1e-10)
    assert rows_of(whole).any()


def test_the_rows_are_neither_parameter_nor_buffer():
    """Fails if an average, a distributed wrapper or a dense optimizer can see them."""
    model = made()
    seen = [*model.parameters(), *model.buffers()]
    assert not any(tensor.shape == (50, 20) for tensor in seen)
    assert model.state_dict()[ROWS].shape == (50, 20)


def test_rows_move_and_convert_with_the_model():
    model = made().float()
    assert rows_of(model).dtype == torch.float32
    assert model.state_dict()[ROWS].dtype == torch.float32


def test_a_copy_shares_the_rows_and_leaves_them_where_they_are():
    """Fails if an averaged model keeps a table of its own, or takes the original's away with it."""
    model = made()
    twin = copy.deepcopy(model).float()
    assert rows_of(twin) is rows_of(model)
    assert rows_of(model).dtype == torch.float64
    rows_of(model)[3] = 7
    assert twin.state_dict()[ROWS][3].tolist() == [7] * 20
    twin.load_state_dict({name: weight * 0 for name, weight in model.state_dict().items()})
    assert rows_of(model)[3].tolist() == [7] * 20


def test_checkpoints_of_averaged_models_hold_the_rows_in_use_once(tmp_path):
    """Fails if the averaged model saves the rows that it was copied with, or a second table is written."""
    model = made(width=16)
    rows_of(model).normal_(generator=torch.Generator().manual_seed(0))
    before = rows_of(model).clone()
    run = trainer(max_steps=3, callbacks=[EMAWeightAveraging(decay=0.9, use_buffers=False)])
    run.fit(model, loader(batches(3)))
    run.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    for part in ("state_dict", "current_model_state"):
        assert torch.equal(saved[part][ROWS], rows_of(model))
    assert saved["state_dict"][ROWS].data_ptr() == saved["current_model_state"][ROWS].data_ptr()
    assert not torch.equal(rows_of(model), before)


@pytest.mark.parametrize("averaged", [False, True])
def test_a_run_resumes_with_its_rows(tmp_path, averaged):
    """Fails if rows are not saved, not loaded, or averaged on the way."""

    def run(steps):
        callbacks = [EMAWeightAveraging(decay=0.9, use_buffers=False)] if averaged else []
        callbacks += [ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=3, save_top_k=-1)] * (
            steps == 3
        )
        return trainer(max_steps=steps, callbacks=callbacks, enable_checkpointing=steps == 3)

    settings = {"max_segments": 1, "exploration": 0.0}  # fresh slots in every step, so that resuming is exact
    whole = made(**settings)
    first, second = made(**settings), made(**settings)
    run(6).fit(whole, loader(batches(6)))
    run(3).fit(first, loader(batches(6)))
    rest = loader(batches(6)[3:] * 2)
    run(6).fit(second, rest, ckpt_path=tmp_path / "step=3.ckpt", weights_only=True)
    assert torch.equal(rows_of(second), rows_of(whole))
    assert not torch.equal(rows_of(second), rows_of(first))


def fitting(model, weights):
    """Hold a checkpoint's weights to a model."""
    sizes = (model.recursion if hasattr(model, "recursion") else model).sizes
    require_fitting(model, {"state_dict": weights}, sizes)


def test_another_number_of_tasks_is_refused_unless_resized():
    """Fails if rows are cut off or filled up in silence."""
    model, other = made(), made(tasks=7)
    rows_of(model).copy_(torch.arange(50.0)[:, None] + torch.arange(20.0))
    with pytest.raises(CheckpointMismatch) as caught:
        fitting(other, model.state_dict())
    assert str(caught.value).startswith(
        "the checkpoint has vectors for 50 tasks, the data have 7: give the data's"
    )
    with pytest.raises(RuntimeError, match=r"rows is \(50, 20\), not \(7, 20\)"):
        other.load_state_dict(model.state_dict())
    resized = made(tasks=7, resize=True)
    fitting(resized, model.state_dict())
    resized.load_state_dict(model.state_dict())
    torch.testing.assert_close(
        rows_of(resized), (24.5 + torch.arange(20.0, dtype=torch.float64)).expand(7, 20)
    )


def test_tables_of_other_widths_and_models_without_a_table_are_refused():
    for ours, theirs in ((made(), made(table=False)), (made(table=False), made())):
        with pytest.raises(CheckpointMismatch, match=r"of another architecture: .*encoder\.task"):
            fitting(ours, theirs.state_dict())
        with pytest.raises(RuntimeError, match=r"encoder\.task"):
            ours.load_state_dict(theirs.state_dict())
    wide = made(resize=True).state_dict() | {ROWS: torch.zeros(50, 21)}
    with pytest.raises(CheckpointMismatch, match=r"task_table.rows is \(50, 21\) there and \(50, 20\) here"):
        fitting(made(resize=True), wide)


def test_one_task_has_one_vector_whatever_it_is_called():
    """Fails if data whose tasks are numbered for other ends read beyond the table."""
    for table in (True, False):
        model = made(table=table, tasks=1)
        one, two = batches(2)
        together = model.recursion.encoder(one.inputs, one.task)
        assert torch.equal(together, model.recursion.encoder(one.inputs, two.task))
        check_batch(one, model.recursion.sizes, apart=False)


ONE_VECTOR = (
    "the model has num_tasks=1: pass the data module's num_tasks to the model, or set model.prefix to 0"
)


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_many_tasks_are_refused_where_there_is_one_vector(table, stage):
    """Fails if all tasks silently share the vector, in training or in evaluation."""
    with pytest.raises(IncompatibleComponents, match=ONE_VECTOR):
        getattr(trainer(max_steps=1), stage)(made(table, tasks=1), loader(batches(1)))


def test_a_model_without_a_prefix_takes_any_tasks():
    """Fails if numbers that only metrics read are held against a model that knows no tasks."""
    model = made(False, tasks=1, prefix=0)
    trainer(max_steps=1).fit(model, loader(batches(1)))
    check_batch(batches(1)[0], model.recursion.sizes)


class Several(Numbers):
    """Numbers of two tasks; the first batch holds the first alone."""

    def __init__(self, apart, **settings):
        super().__init__(num_tasks=2, batch_size=4, **settings)
        self.tasks_apart = apart

    def augmentation(self):
        return None


def test_data_tell_how_many_tasks_they_have_before_any_batch():
    """Fails if only the tasks of the first batch count, or data that hide their tasks are refused."""
    parts = (SingleRefiner(mixer()), EveryUpdate(), FixedHalting())
    sizes = {"width": 8, "cycles": 1, "max_segments": 1}
    model = RecursiveModule(300, 4, *parts, prefix=1, **sizes)
    with pytest.raises(IncompatibleComponents, match="the data has the task 1, " + ONE_VECTOR):
        trainer(max_steps=1).fit(model, datamodule=Several(apart=True))
    trainer(max_steps=1).fit(model, datamodule=Several(apart=False, counts=(8, 2, 2)))


def test_a_task_beyond_the_table_is_named_before_training():
    with pytest.raises(IncompatibleComponents) as caught:
        trainer(max_steps=1).fit(made(tasks=20), loader(batches(2)))
    assert "the data has the task 4" in str(caught.value)
    assert "the model has num_tasks=20: pass the data module's num_tasks to the model" in str(caught.value)


def peak() -> None:
    """What a process needs for three steps with 900,000 rows of width 512, averaged: in MB, printed."""
    import resource

    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    optimizer = partial(AdamATan2, lr=1e-3)
    encoder = TokenEncoder(task_width=512, task_table=SparseTable())
    parts = (6, 16, TwoLevelRefiner(mixer(), latent_steps=1), LastCycles(1), CorrectnessHalting())
    sizes = {"num_tasks": 900_000, "width": 16, "prefix": 32, "cycles": 2}
    model = RecursiveModule(*parts, encoder=encoder, optimizer=optimizer, **sizes)
    data = [one._replace(task=one.task * 17_000) for one in batches(3)]
    callbacks = [EMAWeightAveraging(decay=0.9, use_buffers=False)]
    trainer(max_steps=3, callbacks=callbacks).fit(model, loader(data))
    assert rows_of(model)[data[0].task].any(1).all()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(f"{(after - before) / (1024 if sys.platform != 'darwin' else 1024**2):.0f}\n")


def test_a_million_tasks_cost_no_dense_copy():
    """Fails if a gradient, a moment, an average or a copy of 900,000 x 512 numbers, 1,843 MB, is made.

    The table itself takes memory row by row, as rows are first written to.
    """
    here = Path(__file__).parents[1]
    paths = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", "import codec.test_task_table as t; t.peak()"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.split()[-1]) < 300

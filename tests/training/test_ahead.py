"""Predictions of a data module: one for each batch, in order, with every slot at work."""

from __future__ import annotations

import copy
import json
import pickle
import warnings

import pytest
import torch
from helpers import batch, loader, module, opinionated, trainer
from noisy import noisy
from resuming import Shifts

from recurlight import draw
from recurlight.callbacks import PredictionWriter
from recurlight.data.serving import DataLoader
from recurlight.data.stream import Share
from recurlight.draw.seeding import seeded_evaluation
from recurlight.halting import CorrectnessHalting
from recurlight.stopping import AsTrained
from recurlight.training.module import RecursiveModule
from recurlight.types import Batch, Prediction

ROWS, SLOTS = 46, 8


def data(**settings) -> Shifts:
    return Shifts(test=ROWS, eval_batch_size=SLOTS, **settings)


def made(**settings) -> RecursiveModule:
    found = module(CorrectnessHalting(), max_segments=6, eval_halting=AsTrained(), **settings)
    opinionated(found.recursion)
    return found


def sizes_of(model: RecursiveModule) -> list[int]:
    """Rows of every segment of more than two rows, which the trial has."""
    sizes: list[int] = []
    model.recursion.decoder.register_forward_hook(lambda _, args, out: sizes.append(len(out)))
    return sizes


def same(found: list[Prediction], model: RecursiveModule, batches: list[Batch]) -> None:
    """Insist on what the model answers to each batch."""
    assert len(found) == len(batches)
    for answer, questions in zip(found, batches, strict=True):
        wanted = model(questions)
        assert torch.equal(answer.segments, wanted.segments)
        assert torch.equal(answer.halted, wanted.halted)
        torch.testing.assert_close(answer.logits, wanted.logits, rtol=0, atol=1e-8)
        torch.testing.assert_close(answer.confidence, wanted.confidence, rtol=0, atol=1e-8)


def test_each_batch_gets_its_answer_and_no_slot_is_idle():
    """Fails if a batch is answered by itself, whose last rows would leave slots empty."""
    model, ours = made(), data()
    sizes = sizes_of(model)
    found = trainer().predict(model, ours)
    computed, spent = list(sizes[2:]), int(sum(answer.segments.sum() for answer in found))
    same(found, model, list(ours.predict_dataloader()))
    assert [len(answer.segments) for answer in found] == [8, 8, 8, 8, 8, 6]
    assert len(torch.cat([answer.segments for answer in found]).unique()) >= 4
    assert computed.count(SLOTS) >= (spent - 6 * SLOTS) / SLOTS
    assert sum(computed) < spent + 6 * SLOTS


def test_the_file_is_that_of_batches_answered_by_themselves(tmp_path):
    def written(adaptive, source):
        path = tmp_path / f"{type(source).__name__}.jsonl"
        writer = PredictionWriter(str(path), confidence=0.5)
        trainer(callbacks=[writer]).predict(made(eval_adaptive=adaptive), source)
        return [json.loads(line) for line in path.read_text().splitlines()]

    streamed, apart = written(None, data()), written(None, loader(list(data().predict_dataloader())))
    for record in streamed:
        record.pop("text", None)
    for one, other in zip(streamed, apart, strict=True):
        assert one.pop("confidence") == pytest.approx(other.pop("confidence"))
        assert {**other, **one} == one


def test_nothing_is_answered_beyond_what_the_trainer_asks_for():
    model = made()
    sizes = sizes_of(model)
    found = trainer(limit_predict_batches=2).predict(model, data())
    computed = sum(sizes[2:])
    same(found, model, list(data().predict_dataloader())[:2])
    assert computed <= sum(int(answer.segments.sum()) for answer in found) + 6 * SLOTS


def test_ranks_divide_every_batch_as_before(monkeypatch):
    """Each rank streams its own share, and the two of a batch make up the batch."""
    model, whole = made(), trainer().predict(made(), data())
    halves = []
    for rank in range(2):
        monkeypatch.setattr(Shifts, "_share", lambda self, rank=rank: Share(rank, 2))
        halves.append(trainer().predict(model, data()))
    for first, second, both in zip(*halves, whole, strict=True):
        assert torch.equal(torch.cat([first.segments, second.segments]), both.segments)


def test_a_model_that_draws_is_answered_batch_by_batch():
    """Fails if what a row draws depends on the slot that happens to be free."""
    model = made(refiner=noisy()).eval()
    found = trainer().predict(model, data())
    for number, questions in enumerate(data().predict_dataloader()):
        with seeded_evaluation(model.eval_seed, number), draw.of_batch(len(questions.task), SLOTS):
            wanted = model(questions)
        torch.testing.assert_close(found[number].logits, wanted.logits, rtol=0, atol=1e-8)


class Second(RecursiveModule):
    """Has an answer of its own."""

    def forward(self, batch):
        return super().forward(batch._replace(inputs=batch.inputs.roll(1, 1)))


def test_a_class_with_an_answer_of_its_own_gives_that():
    model = made()
    model.__class__ = Second
    same(trainer().predict(model, data()), model, list(data().predict_dataloader()))


class Shuffled(Shifts):
    """Asks in another order every time."""

    def predict_dataloader(self):
        rows = super().predict_dataloader().dataset
        return DataLoader(rows, batch_size=None, shuffle=True)


def test_an_order_that_is_never_the_same_is_answered_batch_by_batch(capsys):
    """Fails if a question gets the answer of another one."""
    model, asked = made(), []
    step = model.predict_step
    model.predict_step = lambda batch, batch_idx: asked.append(batch) or step(batch, batch_idx)
    with pytest.warns(UserWarning, match="gives other questions the second time"):
        found = trainer().predict(model, Shuffled(test=ROWS, eval_batch_size=SLOTS))
    same(found, model, asked)


def test_every_row_runs_all_segments_where_that_is_asked_for():
    found = trainer().predict(made(eval_adaptive=False), data())
    assert {*torch.cat([answer.segments for answer in found]).tolist()} == {6}


def test_a_prediction_that_broke_off_leaves_nothing_behind():
    """Fails if a model cannot be copied or sent to a process, or goes on with the old questions."""
    model, wanted = made(), data()
    step = model.predict_step

    def breaks(batch: Batch, batch_idx: int):
        if batch_idx == 2:
            raise ZeroDivisionError
        return step(batch, batch_idx)

    model.predict_step = breaks
    with pytest.raises(ZeroDivisionError):
        trainer().predict(model, wanted)
    del model.predict_step
    for again in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*second time.*")
            same(trainer().predict(again, data()), again, list(data().predict_dataloader()))


def test_a_loader_of_the_users_own_is_answered_batch_by_batch():
    model, batches = made(), [batch(5, seed) for seed in range(3)]
    same(trainer().predict(model, loader(batches)), model, batches)

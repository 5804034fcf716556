"""The LightningModule: one training step is one segment, one loss, one optimizer step."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from data.numbers import Numbers
from helpers import batch, loader, mixer, module, plain_sgd, trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, GradientAccumulationScheduler
from torch import Tensor

from recurlight import slots
from recurlight.halting import CorrectnessHalting, QLearningHalting
from recurlight.optim import LinearWarmup
from recurlight.refiners import SingleRefiner
from recurlight.training.module import RecursiveModule
from recurlight.truncation import ImplicitGradient, LastCycles
from recurlight.types import Batch, Sizes

ROWS = 6


def batches(count: int, rows: int = ROWS) -> list[Batch]:
    return [batch(rows, seed=step) for step in range(count)]


def weights(made: RecursiveModule) -> list[Tensor]:
    return [weight.detach().clone() for weight in made.parameters()]


def distance(one: list[Tensor], other: list[Tensor]) -> float:
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


class Record(pl.Callback):
    """Loss and weights after every training batch."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.weights: list[list[Tensor]] = []
        self.halted: list[Tensor] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())
        self.weights.append(weights(pl_module))
        self.halted.append(pl_module.carries[0].halted)


def stablemax_loss(logits: Tensor, labels: Tensor) -> Tensor:
    score = torch.where(logits >= 0, logits + 1, 1 / (1 - logits))
    chosen = (score / score.sum(-1, keepdim=True)).gather(-1, labels[..., None])
    return -chosen.log().mean(dim=(1, 2))


def cross_entropy(logit: Tensor, target: Tensor) -> Tensor:
    right = logit.sigmoid()
    return -(target * right.log() + (1 - target) * (1 - right).log())


def halting_loss(made: RecursiveModule, carry, score: Tensor, correct: Tensor) -> Tensor:
    """The published losses, written out."""
    total = cross_entropy(score[:, 0], correct.double())
    if score.shape[1] == 2:
        with torch.no_grad():
            ahead = made.recursion.segment(carry, carry.batch)[2].sigmoid()
        best = torch.maximum(ahead[:, 0], ahead[:, 1])
        total = total + cross_entropy(score[:, 1], torch.where(carry.age == 4, ahead[:, 0], best))
    return total


@pytest.mark.parametrize("halting", [CorrectnessHalting, QLearningHalting])
def test_steps_are_those_of_a_loop_written_out(halting):
    record, made, steps = Record(), module(halting(), halting_weight=0.25), 7
    trainer(max_steps=steps, callbacks=[record]).fit(made, loader(batches(steps)))
    again = module(halting())
    optimizer, carry = plain_sgd(again.parameters()), again.recursion.start(batch(ROWS))
    for step, fresh in enumerate(batches(steps)):
        carry, segment, score = again.recursion.segment(carry, fresh)
        correct = (segment.logits.argmax(-1) == carry.batch.labels).all(1)
        loss = stablemax_loss(segment.logits, carry.batch.labels)
        loss = (loss + 0.25 * halting_loss(again, carry, score, correct)).sum() / ROWS
        assert record.losses[step] == pytest.approx(loss.item(), abs=1e-8)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert distance(record.weights[step], weights(again)) < 1e-8
        carry = again.recursion.halt(carry, score.detach(), step)
        assert torch.equal(record.halted[step], carry.halted)
    assert len({tuple(flags.tolist()) for flags in record.halted}) > 2


def test_accumulated_micro_batches_equal_one_large_batch():
    whole, parts, steps = module(exploration=0.0), module(exploration=0.0), 5
    trainer(max_steps=steps).fit(whole, loader(batches(steps)))
    halves = [slots.take(rows, b) for b in batches(steps) for rows in torch.arange(ROWS).split(ROWS // 2)]
    trainer(max_steps=steps, accumulate_grad_batches=2).fit(parts, loader(halves))
    assert distance(weights(whole), weights(parts)) < 1e-8
    assert distance(weights(whole), weights(module())) > 1e-3
    for name in ("age", "halted"):
        joined = torch.cat([getattr(parts.carries[micro], name) for micro in (0, 1)])
        assert torch.equal(joined, getattr(whole.carries[0], name))
    assert parts.global_step == whole.global_step == steps


def test_micro_batches_explore_apart():
    made = module(exploration=0.5)
    made.recursion.halting.head.weight.data.zero_()
    made.recursion.halting.head.bias.data.fill_(9.0)
    trainer(max_steps=1, accumulate_grad_batches=2).fit(made, loader(batches(2, rows=64)))
    assert not torch.equal(made.carries[0].halted, made.carries[1].halted)


@pytest.mark.parametrize("plan", [{0: 1}, {0: 4}, {0: 4, 1: 1}, {0: 1, 1: 4}], ids=str)
def test_no_two_micro_batches_draw_the_same(plan, monkeypatch):
    """Fails if the number from which the exploration is drawn repeats when the accumulation changes."""
    made, numbers = module(), []
    learn = made.recursion.learn

    def noted(carry, fresh, loss, step, **rest):
        numbers.append(step)
        return learn(carry, fresh, loss, step, **rest)

    monkeypatch.setattr(made.recursion, "learn", noted)
    run = trainer(max_epochs=2, callbacks=[GradientAccumulationScheduler(plan)])
    run.fit(made, loader(batches(8)))
    assert numbers == [*range(16)]


def test_validation_does_not_touch_training():
    alone, watched, steps = module(), module(), 5
    trainer(max_steps=steps).fit(alone, loader(batches(steps)))
    settings = {"max_steps": steps, "val_check_interval": 1, "num_sanity_val_steps": 1}
    trainer(**settings).fit(watched, loader(batches(steps)), loader(batches(2, rows=3)))
    assert watched.trainer.callback_metrics["val/loss"] > 0
    assert distance(weights(alone), weights(watched)) == 0.0
    for one, other in zip(alone.carries[0].state, watched.carries[0].state, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_schedule_goes_with_the_optimizer_steps(accumulate):
    made, rates = module(scheduler=lambda optimizer: LinearWarmup(optimizer, warmup=4)), []

    class Rates(pl.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            rates.append(optimizer.param_groups[0]["lr"])

    settings = {"max_steps": 5, "accumulate_grad_batches": accumulate, "callbacks": [Rates()]}
    trainer(**settings).fit(made, loader(batches(5 * accumulate)))
    assert rates == pytest.approx([0.05 * share for share in (1 / 4, 2 / 4, 3 / 4, 1, 1)])


def test_training_shows_its_figures():
    made = module(exploration=0.0)
    trainer(max_steps=3).fit(made, loader(batches(3)))
    shown = made.trainer.callback_metrics
    assert {"loss", "exact", "segments", "samples"} <= set(shown)
    assert shown["samples"] >= ROWS
    assert made.progress.samples == shown["samples"]


def test_equilibrium_models_show_their_residuals_and_warn():
    refiner, truncation = SingleRefiner(mixer()), ImplicitGradient(backward_steps=1)
    made = module(refiner=refiner, truncation=truncation, cycles=2)
    with pytest.warns(RuntimeWarning, match="ImplicitGradient did not converge"):
        trainer(max_epochs=1).fit(made, loader(batches(2)))
    assert {"forward_residual", "backward_residual"} <= set(made.trainer.callback_metrics)


def test_a_second_fit_begins_with_fresh_slots():
    made = module()
    trainer(max_steps=3).fit(made, loader(batches(3)))
    trainer(max_steps=1).fit(made, loader(batches(1, rows=4)))
    assert made.carries[0].age.tolist() == [1] * 4
    assert made.progress.samples == 4


def test_averaged_weights_are_evaluated_and_kept():
    decay, steps, record, made = 0.8, 4, Record(), module()
    seen: list[list[Tensor]] = []
    ema = EMAWeightAveraging(decay=decay, use_buffers=False)
    run = trainer(max_steps=steps, val_check_interval=steps, callbacks=[record, ema])
    made.recursion.decoder.register_forward_hook(
        lambda *_: seen.append(weights(made)) if run.validating else None
    )
    run.fit(made, loader(batches(steps)), loader(batches(1)))
    average = record.weights[0]
    for later in record.weights[1:]:
        average = [decay * a + (1 - decay) * b for a, b in zip(average, later, strict=True)]
    assert distance(average, record.weights[-1]) > 1e-4
    assert distance(seen[0], average) < 1e-12
    assert distance(weights(made), average) < 1e-12
    starts = [made.recursion.refiner.answer_start.vector, module().recursion.refiner.answer_start.vector]
    assert torch.equal(*starts)


def test_a_model_for_data_has_their_vocabulary_length_tasks_and_grid():
    parts = {"truncation": LastCycles(1), "halting": CorrectnessHalting(), "width": 16, "prefix": 2}
    made = RecursiveModule.for_data(Numbers(num_tasks=5), refiner=SingleRefiner(mixer()), **parts)
    assert made.recursion.sizes == Sizes(vocab=300, tokens=4, width=16, prefix=2, tasks=5, grid=(2, 2))

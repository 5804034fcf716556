"""What every exported supervision must do."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from helpers import batch, loader, mixer, module, trainer
from resuming import Everywhere, Fitted, deviations, disturb, model
from torch.utils._python_dispatch import TorchDispatchMode

from recurlight import slots, supervision
from recurlight.__main__ import main
from recurlight.refiners import TwoLevelRefiner
from recurlight.supervision import Denoising, JacobianPenalty, Turn, WinnerTakesAll
from recurlight.training.module import RecursiveModule

from .cases import CAP, CASES, LOSS, busy, composed, exported, step

ROWS = 8
DRAWING = (Denoising, JacobianPenalty, WinnerTakesAll)


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request):
    return request.param


def test_every_exported_supervision_is_tested():
    assert exported() == {type(rule) for rule, _ in CASES.values()}


def test_the_carry_keeps_its_form_and_no_gradient(case):
    rule, truncation = case
    recursion = composed(truncation, feedback=rule.feedback())
    before = busy(rule, recursion)
    after = step(rule, recursion, before, batch(ROWS, seed=9))[0].carry
    leaves = [(*carry.state, *carry.batch, carry.age, carry.halted) for carry in (before, after)]
    assert not any(leaf.requires_grad for leaf in leaves[1])
    assert [(a.shape, a.dtype) for a in leaves[0]] == [(b.shape, b.dtype) for b in leaves[1]]


def test_only_halted_slots_take_a_fresh_sample_and_no_slot_outlives_the_cap(case):
    rule, truncation = case
    recursion = composed(truncation, feedback=rule.feedback())
    carry = rule.start(recursion, batch(ROWS))
    for number in range(6):
        fresh = batch(ROWS, seed=number)
        after = step(rule, recursion, carry, fresh, Turn(number))[0].carry
        expected = slots.choose(carry.halted, slots.repeat(fresh, rule.rows_per_slot()), carry.batch)
        assert all(torch.equal(a, b) for a, b in zip(after.batch, expected, strict=True))
        old = carry.age.masked_fill(carry.halted, 0)
        assert ((after.age > old) & (after.age <= CAP)).all()
        assert after.halted[after.age == CAP].all()
        carry = after


def test_two_ranks_equal_one_process(case):
    """Fails if the loss is a mean over the slots of a rank that still work, or if ranks explore alike."""
    rule, truncation = case
    recursion = composed(truncation, feedback=rule.feedback(), exploration=0.5)
    carry, fresh = busy(rule, recursion), batch(ROWS, seed=9)
    whole, gradients = step(rule, recursion, carry, fresh, Turn(5))
    parts = []
    for rank, rows in enumerate(torch.arange(ROWS).split(ROWS // 2)):
        many = rule.rows_per_slot()
        theirs = (rows[:, None] * many + torch.arange(many)).flatten()
        share = slots.take(theirs, carry), slots.take(rows, fresh)
        parts.append(step(rule, recursion, *share, Turn(5, rank=rank, ranks=2)))
    (one, ones), (two, twos) = parts
    torch.testing.assert_close((one.loss + two.loss) / 2, whole.loss, rtol=0, atol=1e-10)
    for left, right, both in zip(ones, twos, gradients, strict=True):
        torch.testing.assert_close((left + right) / 2, both, rtol=0, atol=1e-10)
    for name in ("age", "halted"):
        joined = torch.cat([getattr(part.carry, name) for part in (one, two)])
        assert torch.equal(joined, getattr(whole.carry, name))
    assert torch.equal(torch.cat([one.correct, two.correct]), whole.correct)


def test_every_weight_gets_a_gradient_in_every_step(case):
    rule, truncation = case
    recursion = composed(truncation, feedback=rule.feedback())
    carry = rule.start(recursion, batch(ROWS))
    for number in range(4):
        learnt, gradients = step(rule, recursion, carry, batch(ROWS, seed=number), Turn(number))
        carry = learnt.carry
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert sum(gradient.abs().sum() > 0 for gradient in gradients) == len(gradients)


class Waits(TorchDispatchMode):
    """Counts what an accelerator would be waited for: numbers read back, and shapes that depend on values."""

    KINDS = (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.masked_select)

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += operation.overloadpacket in self.KINDS
        return operation(*args, **(kwargs or {}))


def test_a_step_waits_for_nothing(case):
    """Fails if slots that have halted are left out of the computation, which asks the device for them."""
    rule, truncation = case
    recursion = composed(truncation, feedback=rule.feedback())
    carry, fresh = busy(rule, recursion), batch(ROWS, seed=9)
    with Waits() as watch:
        step(rule, recursion, carry, fresh)
    assert watch.count == 0


def test_it_survives_copy_and_pickle_and_can_be_typed_back(case):
    rule, _ = case
    names = {name: getattr(supervision, name) for name in supervision.__all__}
    for again in (copy.deepcopy(rule), pickle.loads(pickle.dumps(rule)), eval(repr(rule), names)):
        assert again == rule
        assert hash(again) == hash(rule)


@pytest.mark.parametrize("name", [name for name, (rule, _) in CASES.items() if type(rule) not in DRAWING])
def test_accumulated_micro_batches_equal_one_large_batch(name):
    """Of rules that draw nothing: what is drawn belongs to the slots of a micro-batch."""
    rule, truncation = CASES[name]
    whole, parts = (module(exploration=0.0, truncation=truncation, supervision=rule) for _ in range(2))
    batches = [batch(ROWS, seed=number) for number in range(4)]
    trainer(max_steps=4).fit(whole, loader(batches))
    halves = [slots.take(rows, b) for b in batches for rows in torch.arange(ROWS).split(ROWS // 2)]
    trainer(max_steps=4, accumulate_grad_batches=2).fit(parts, loader(halves))
    for left, right in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-9)


def test_mixed_precision_keeps_losses_and_gradients_in_float32(case):
    rule, truncation = case
    made = module(truncation=truncation, supervision=rule).float()
    trainer(max_steps=3, precision="bf16-mixed").fit(made, loader([batch(ROWS, seed=n) for n in range(3)]))
    assert made.progress.loss.dtype == torch.float32
    assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in made.parameters())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_is_bit_equal(case, accumulate, tmp_path):
    rule, truncation = case

    def made() -> RecursiveModule:
        return model(truncation=truncation, supervision=rule)

    settings = {"max_steps": 6 // accumulate, "accumulate_grad_batches": accumulate}
    whole = Fitted(Everywhere(tmp_path), made=made(), **settings)
    disturb()
    again = Fitted(made=made(), resume=tmp_path / "04-batch.ckpt", **settings)
    assert deviations(whole, again) == []


def test_a_checkpoint_and_the_fingerprint_record_it(case, tmp_path):
    rule, truncation = case
    refiner = TwoLevelRefiner(mixer(), latent_steps=1)
    made = module(refiner=refiner, truncation=truncation, supervision=rule)
    run = trainer(max_steps=1)
    run.fit(made, loader([batch(ROWS)]), loader([batch(ROWS)]))
    assert made._fingerprint(made.measured).supervision == repr(rule)
    run.save_checkpoint(tmp_path / "x.ckpt")
    assert RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt").supervision == rule


YAML = {
    "winner": "WinnerTakesAll --model.supervision.width 2",
    "denoising": "Denoising",
    "one": "OneSegment",
    "decayed": "OneSegment --model.supervision.decay 0.7",
    "deep": "DeepSupervision --model.supervision.segments 3 --model.supervision.weights [0.5,1,2]",
    "deep through": "DeepSupervision --model.supervision.segments 2 --model.supervision.through true",
    "expected": "ExpectedLoss --model.supervision.entropy 0.1",
    "expected apart": "ExpectedLoss --model.supervision.through false",
    "jacobian": "JacobianPenalty --model.supervision.weight 0.5",
    "jacobian of others": "JacobianPenalty --model.supervision.weight 0.5 --model.supervision.supervision "
    "DeepSupervision --model.supervision.supervision.segments 2",
    "ponder": "PonderLoss --model.supervision.prior 0.4 --model.supervision.weight 0.2",
}


@pytest.mark.parametrize("name", CASES)
def test_the_command_line_trains_it(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rule, truncation = CASES[name]
    part = f"--model.supervision {YAML[name]} --model.truncation {type(truncation).__name__}"
    sizes = "--model.width 16 --data.num_train 8 --data.num_val 4 --data.batch_size 4 --data.epoch_samples 8"
    sizes += f" --model.max_segments {CAP}"
    quiet = "--trainer.accelerator cpu --trainer.enable_progress_bar false --trainer.max_steps 2"
    recipe = ["fit", "--config", "trm_sudoku", "--config", "small"]
    assert main([*recipe, *part.split(), *sizes.split(), *quiet.split()]) == 0
    assert f"; {type(rule).__name__}" in capsys.readouterr().out
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    assert RecursiveModule.load_from_checkpoint(checkpoint).supervision == rule


def test_ranks_draw_apart_where_no_process_group_tells_them():
    """Fails if a rule draws for the whole batch on every rank of a loop without Lightning."""
    rule, recursion = WinnerTakesAll(2), composed()
    fresh = batch(ROWS)

    def losses(share, turn):
        torch.manual_seed(0)
        return rule.step(recursion, rule.start(recursion, share), share, LOSS, turn).loss

    halves = [
        losses(slots.take(rows, fresh), Turn(0, rank=rank, ranks=2))
        for rank, rows in enumerate(torch.arange(ROWS).split(ROWS // 2))
    ]
    torch.testing.assert_close(sum(halves) / 2, losses(fresh, Turn(0)), rtol=0, atol=1e-10)

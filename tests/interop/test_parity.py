"""Imported models against the published formulas, segment by segment from the same carried state.

Recursion amplifies rounding, so that two free runs of equal models part; equality is asked of one segment.
"""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from helpers import loader, plain_sgd, trainer

from recurlight import Batch, Carry, RecursiveModule, TwoLevelState
from recurlight.__main__ import main

from .conftest import publish
from .reference import HRM, ROOT, TRM_MIXER, TRMS_HRM, Shape, random_weights, segment, start, training_step

ROWS = 4
BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-4}
DTYPES = {"float64": torch.float64, "float32": torch.float32}


@pytest.fixture(scope="module")
def name(shape):
    return f"{shape.family} {'mixer' if shape.mixer else 'attention'}"


@pytest.fixture(scope="module")
def imported(shape, tmp_path_factory):
    """A checkpoint that the command line made, by the architecture of this module's parameter."""
    return imported_file(tmp_path_factory.mktemp("published"), shape)


def imported_file(folder, shape):
    file = publish(folder, shape, prefix="_orig_mod.")
    flags = ["--from", shape.family, "--output", str(folder / "model.ckpt"), "--seq_len", str(shape.tokens)]
    assert main(["import", str(file), *flags]) == 0
    return str(folder / "model.ckpt")


def pair(path, shape, dtype):
    """Return the imported model and the raw published weights, both in a dtype."""
    model = RecursiveModule.load_from_checkpoint(path).to(dtype)
    return model, {key: weight.to(dtype) for key, weight in random_weights(shape).items()}


def questions(shape, rows=ROWS, seed=1):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, shape.vocab, (rows, shape.tokens), generator=generator)
    task = torch.arange(rows) % max(shape.tasks, 1)
    return Batch(inputs, inputs, task)


def apart(ours, theirs, relative):
    """Largest difference of two tensors, over the largest value when relative."""
    difference = (ours.detach() - theirs.detach()).abs().max().item()
    return difference / theirs.detach().abs().max().item() if relative else difference


def carry(answer, latent, batch, age=0, halted=False):
    rows = len(batch.inputs)
    ages, flags = torch.full((rows,), age, dtype=torch.int32), torch.full((rows,), halted)
    return Carry(TwoLevelState(answer, latent), batch, ages, flags)


def compare_segment(model, weights, shape, batch, answer, latent, hold):
    """Run one segment of both from one state, hold every output to its bound, and return theirs."""
    with torch.no_grad():
        theirs = segment(weights, shape, batch.inputs, batch.task, answer, latent)
        after, ours, score = model.recursion.segment(carry(answer, latent, batch), batch)
    scores = torch.stack([theirs.halt, theirs.go_on][: 2 if shape.family == "hrm" else 1], dim=1)
    pairs = {"logits": (ours.logits, theirs.logits), "scores": (score, scores)}
    pairs |= {"states": (after.state.answer, theirs.answer), "states ": (after.state.latent, theirs.latent)}
    for what, (one, other) in pairs.items():
        assert one.shape == other.shape
        hold(what.strip(), one, other)
    return theirs


@pytest.mark.parametrize("precision", DTYPES)
def test_sixteen_segments(shape, name, imported, precision, measure):
    """Each of 16 segments gives the published logits, scores and states from the same state.

    Fails when gate and up change places, q and k, H_init and L_init, without sqrt(D) on the embedding, with
    the mixer's first norm over channels, or with the rows of the halting head exchanged.
    """
    dtype = DTYPES[precision]
    model, weights = pair(imported, shape, dtype)
    batch = questions(shape, rows=2)

    def hold(what, ours, theirs):
        assert ours.dtype == theirs.dtype == dtype
        assert theirs.abs().mean() > 0.05  # alive
        measure(f"{name}, {precision}, {what}", apart(ours, theirs, dtype != torch.float64), BOUNDS[dtype])

    answer, latent = start(weights, shape, 2)
    fresh = model.recursion.start(batch).state
    assert torch.equal(fresh.answer, answer)
    assert torch.equal(fresh.latent, latent)
    for _ in range(16):
        theirs = compare_segment(model, weights, shape, batch, answer, latent, hold)
        answer, latent = theirs.answer, theirs.latent


class Inspect(pl.Callback):
    """Puts a carry into a model in training, and keeps the gradients of the step."""

    def __init__(self, carried):
        self.carried = carried

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        module.carries[0] = self.carried

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.gradients = {key: weight.grad.clone() for key, weight in module.named_parameters()}
        self.halted = module.carries[0].halted

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.loss = outputs["loss"].detach()


OURS = {
    "embed_tokens.embedding_weight": "encoder.token",
    "puzzle_emb.weights": "encoder.task",
    "lm_head.weight": "decoder.head.weight",
    "q_head.weight": "halting.head.weight",
    "q_head.bias": "halting.head.bias",
    "L_level.layers.": "refiner.latent.blocks.",
    "H_level.layers.": "refiner.answer.blocks.",
    "self_attn.qkv_proj": "attention.qkv",
    "self_attn.o_proj": "attention.out",
    "mlp_t.gate_up_proj": "positions.gate_up",
    "mlp_t.down_proj": "positions.down",
}


def our_name(key, shape):
    """Write a published key as ours; a table of its own, so that one in the code is not checked by itself."""
    key = "recursion." + key.removeprefix(ROOT)
    for theirs, ours in OURS.items():
        key = key.replace(theirs, ours)
    feedforward = "channels" if shape.mixer else "feedforward"
    return key.replace("mlp.gate_up_proj", f"{feedforward}.gate_up").replace(
        "mlp.down_proj", f"{feedforward}.down"
    )


def mid_training(weights, shape, dtype):
    """Return slots in every situation: fresh, young, at the cap, with a right answer, partly supervised."""
    batch, old = questions(shape), questions(shape, seed=2)
    with torch.no_grad():
        before = segment(weights, shape, old.inputs, old.task, *start(weights, shape, ROWS))
    age = torch.tensor([5, 3, 15, 7], dtype=torch.int32)
    halted = torch.tensor([True, False, False, False])
    inputs = torch.where(halted[:, None], batch.inputs, old.inputs)
    answer, latent = before.answer, before.latent
    with torch.no_grad():
        logits = segment(weights, shape, inputs, old.task, answer, latent).logits
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, shape.vocab, inputs.shape, generator=generator)
    labels[3] = logits[3].argmax(dim=-1)  # right, whatever the segment before
    labels[1, ::2] = -100
    fresh = batch._replace(labels=torch.where(halted[:, None], labels, batch.labels))
    kept = old._replace(labels=labels)
    return fresh, Carry(TwoLevelState(answer, latent), kept, age, halted), (inputs, labels, old.task)


def published_gradients(weights, shape, slots, carried):
    """Return the published training step from a carry, and its gradients by our names."""
    dtype = next(iter(weights.values())).dtype
    weights = {key: weight.clone() for key, weight in weights.items()}
    trained = {key: weight.requires_grad_() for key, weight in weights.items() if not key.endswith("_init")}
    answer, latent = (leaf.to(dtype) for leaf in carried.state)
    step = training_step(weights, shape, slots, answer, latent, carried.age, carried.halted)
    step.loss.backward()
    return step, {our_name(key, shape): weight.grad for key, weight in trained.items()}


@pytest.mark.parametrize("precision", DTYPES)
def test_one_training_step(shape, name, imported, precision, measure):
    """Loss, gradients and the slots that halt are the published ones, in a batch with all kinds of slots.

    Fails when gradient reaches one update more or less, with the mean over tokens in place of samples, a
    halting weight of 1, the continue target at the cap as below it, or (HRM) the rows of the head exchanged.
    """
    dtype = DTYPES[precision]
    model, weights = pair(imported, shape, dtype)
    fresh, carried, slots = mid_training(weights, shape, dtype)
    theirs, expected = published_gradients(weights, shape, slots, carried)

    model.optimizer, model.scheduler, model.recursion.exploration = plain_sgd, None, 0.0
    inspect = Inspect(carried)
    settings = {"precision": "64-true"} if dtype == torch.float64 else {}
    trainer(max_steps=1, callbacks=[inspect], **settings).fit(model, loader([fresh]))
    bound = 1e-10 if dtype == torch.float64 else 1e-5
    measure(f"{name}, {precision}, loss of a step", apart(inspect.loss, theirs.loss, True), bound)
    assert torch.equal(inspect.halted, theirs.wants_to_halt)
    assert inspect.gradients.keys() == expected.keys()
    for key, gradient in inspect.gradients.items():
        other = expected[key]
        if shape.family == "trm" and "halting" in key:
            assert not other[1:].any()  # TRM trains no continue score
            other = other[:1]
        assert gradient.shape == other.shape
        assert other.abs().max() > 0
        measure(f"{name}, {precision}, gradients", relative_norm(gradient, other), bound)


@pytest.mark.parametrize("family", [HRM, TRM_MIXER])
def test_one_segment_trains_the_halt_score_alone(family, tmp_path):
    """With `halt_max_steps: 1` nothing is worth going on for: no continue score, and every slot halts.

    Fails when HRM is refused for its look-ahead, or trains its second score.
    """
    shape = family._replace(layers=1, segments=1)
    model, weights = pair(imported_file(tmp_path, shape), shape, torch.float64)
    fresh = questions(shape)
    carried = carry(*start(weights, shape, ROWS), fresh, halted=True)
    slots = (fresh.inputs, fresh.labels, fresh.task)
    theirs, expected = published_gradients(weights, shape, slots, carried)
    model.optimizer, model.scheduler = plain_sgd, None
    inspect = Inspect(carried)
    trainer(max_steps=1, callbacks=[inspect], precision="64-true").fit(model, loader([fresh]))
    assert inspect.halted.all()
    assert theirs.wants_to_halt.all()
    assert apart(inspect.loss, theirs.loss, True) < 1e-10
    for key, gradient in inspect.gradients.items():
        assert relative_norm(gradient, expected[key][: len(gradient)]) < 1e-10


def relative_norm(ours, theirs):
    return ((ours - theirs).norm() / theirs.norm()).item()


VARIANTS = {
    "learned positions": Shape("trm", False, 2, 2, 2, positions="learned"),
    "no positions": Shape("trm", False, 2, 2, 2, positions="none"),
    "task vectors of 2 positions": HRM._replace(prefix=2, task_width=100),
    "no tasks": TRM_MIXER._replace(tasks=0, prefix=0, task_width=0),
    "four heads": HRM._replace(heads=4),
    "HRM in TRM's code": TRMS_HRM,
    "HRM with mixers in TRM's code": TRMS_HRM._replace(mixer=True, positions="none"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(variant, tmp_path, measure):
    """The other choices of the published code give the published numbers too.

    Fails when the positions are added after the scaling, without 1/sqrt(2), when rotary positions are on
    in spite of the configuration, when the task's vector is padded in front, with the wrong heads, or with
    the prefix and halting of TRM in HRM's class, which does not read them.
    """
    shape = VARIANTS[variant]
    model, weights = pair(imported_file(tmp_path, shape), shape, torch.float64)
    batch = questions(shape)

    def hold(what, ours, theirs):
        measure(f"{variant}, float64, {what}", apart(ours, theirs, False), 1e-9)

    answer, latent = start(weights, shape, ROWS)
    for _ in range(2):
        theirs = compare_segment(model, weights, shape, batch, answer, latent, hold)
        answer, latent = theirs.answer, theirs.latent


def test_published_size(tmp_path, measure):
    """The Sudoku mixer in its published size: 97 positions of width 512, three tasks, one segment in float32.

    Fails when inner widths are not rounded up to a multiple of 256, or with a prefix of other than 16.
    """
    shape = TRM_MIXER._replace(width=512, heads=8, tokens=81, vocab=11, task_width=512)
    path = imported_file(tmp_path, shape)
    model, weights = pair(path, shape, torch.float32)
    assert weights[ROOT + "L_level.layers.1.mlp_t.gate_up_proj.weight"].shape == (1024, 97)
    assert weights[ROOT + "L_level.layers.1.mlp.gate_up_proj.weight"].shape == (3072, 512)
    # about 5.03 million with one task; two more here, and the published ones have a second halting row
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(5.03e6, rel=1e-3)

    def hold(what, ours, theirs):
        measure(f"trm mixer, published size, float32, {what}", apart(ours, theirs, True), 1e-4)

    batch = questions(shape, rows=1)
    compare_segment(model, weights, shape, batch, *start(weights, shape, 1), hold)

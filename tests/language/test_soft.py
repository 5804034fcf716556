"""Soft tokens: made by the encoder, read by the frozen model before it answers."""

from __future__ import annotations

import pytest
import torch
from frozen import Tied, thinking
from helpers import SIZES, batch, loader, trainer

from recurlight import IncompatibleComponents, replay
from recurlight.recursion.export import export_solve
from recurlight.rendering import Drawable

LENGTH, SOFT = SIZES.tokens, 3


def states(model, seed=1):
    shape = (4, model.sizes.positions, model.sizes.width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("learned_positions", [False, True])
def test_injection_by_an_independent_formula(learned_positions):
    """In float64, with a frozen model whose hidden states are sums of what it was shown."""
    model = thinking(learned_positions=learned_positions).double().recursion
    asked, encoder, frozen = batch(), model.encoder, model.backbone
    vectors = frozen.embed(asked.inputs)
    question = vectors.cumsum(1)
    soft = question[:, -1:] + encoder.soft.cumsum(0)
    expected = torch.cat([soft, question], dim=1) @ encoder.projection.weight.T
    if learned_positions:
        expected = (expected + 8**0.5 * encoder.position) / 2**0.5
    found = encoder(asked.inputs, asked.task)
    assert found.shape == (4, SOFT + LENGTH, 8)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_logits_by_an_independent_formula():
    model = thinking().double().recursion
    asked, decoder, frozen = batch(), model.decoder, model.backbone
    answer, vectors = states(model), frozen.embed(asked.inputs)
    moved = answer[:, :SOFT] @ decoder.projection.weight.T
    soft = decoder.start + frozen.head().float().std().item() * moved
    hidden = vectors.sum(1, keepdim=True) + soft.sum(1, keepdim=True) + vectors.cumsum(1)
    expected = hidden @ frozen.head().T
    torch.testing.assert_close(decoder.read(answer, asked), expected, rtol=1e-12, atol=1e-10)


def test_the_thoughts_alone_are_read():
    model = thinking().double().recursion
    answer, asked = states(model), batch()
    before = model.decoder.read(answer, asked)
    for position in range(SOFT + LENGTH):
        changed = answer.clone()
        changed[:, position] += 1
        assert torch.equal(model.decoder.read(changed, asked), before) == (position >= SOFT)


def test_gradient_flows_through_the_frozen_model():
    model = thinking().recursion
    asked = batch()
    answer = model.encoder(asked.inputs, asked.task)
    model.decoder.read(answer, asked).square().sum().backward()
    trained = (model.encoder.soft, model.encoder.projection.weight, model.decoder.start)
    assert all(weight.grad.abs().sum() > 0 for weight in (*trained, model.decoder.projection.weight))
    assert all(weight.grad is None for weight in model.backbone.network.parameters())


def test_it_trains_and_leaves_the_frozen_model_alone():
    model = thinking(max_segments=2)
    before = model.recursion.backbone.head().clone()
    trainer(max_steps=3, callbacks=[]).fit(model, loader([batch(seed=step) for step in range(3)]))
    assert torch.equal(model.recursion.backbone.head(), before)


class Grid(Drawable):
    grid_shape = (4, 4)


def test_a_trace_reads_thoughts_with_their_question():
    """What is shown after the last update is what the model answers."""
    model, asked = thinking().recursion.eval(), batch()
    updates = replay(model, asked, Grid()).updates
    read = [update.read["answer"] for update in updates if "answer" in update.read]
    assert read[-1].tokens == model.solve(asked, adaptive=False).logits[0].argmax(-1).tolist()


def short():
    backbone = Tied()
    backbone.positions = 2 * LENGTH + SOFT - 1
    return backbone


REFUSED = {
    "none": (
        lambda: thinking(prefix=0),
        "takes model.prefix for its number of soft tokens, and that is 0",
    ),
    "tasks": (
        lambda: thinking(num_tasks=2),
        "SoftTokenEncoder does not tell 2 tasks apart: take Hid",
    ),
    "room": (
        lambda: thinking(backbone=short()),
        "Decoder lets Tied read 35 tokens, which reads 34 at most",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name):
    make, message = REFUSED[name]
    with pytest.raises(IncompatibleComponents, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_without_the_question_nothing_is_read():
    model = thinking().recursion
    with pytest.raises(IncompatibleComponents, match="reads the question, too: call read"):
        model.decoder(states(model).float())


def test_an_export_answers_any_number_of_questions():
    """Fails if the number of rows is fixed in the program."""
    model = thinking().eval()
    answer = export_solve(model.recursion, segments=2).module()
    for rows in (1, 5):
        asked = batch(rows)
        wanted = model.recursion.solve(asked, 2, adaptive=False).logits
        torch.testing.assert_close(answer(tokens=asked.inputs, task=asked.task)["logits"], wanted)

"""Small models whose checkpoints are looked into."""

from __future__ import annotations

import torch
from helpers import SIZES, batch, loader, mixer, trainer

from recurlight import EveryUpdate, FixedHalting, RecursiveModule, SingleRefiner


def made(**parts):
    """A small model, with some of its parts replaced."""
    settings = {
        "refiner": SingleRefiner(mixer()),
        "truncation": EveryUpdate(),
        "halting": FixedHalting(),
        "width": SIZES.width,
        "cycles": 2,
        "max_segments": 2,
    }
    return RecursiveModule(SIZES.vocab, SIZES.tokens, **(settings | parts))


def questions(model, seed):
    """Questions for a model: tokens, or numbers made of them where it is for numbers."""
    asked, sizes = batch(seed=seed), model.recursion.sizes
    inputs, labels = (
        field.float()[..., None].expand(-1, -1, numbers) if numbers else field
        for field, numbers in ((asked.inputs, sizes.features), (asked.labels, sizes.targets))
    )
    return asked._replace(inputs=inputs, labels=labels)


def trained(model, path, steps=1):
    """Train a little and save."""
    run = trainer(max_steps=steps)
    run.fit(model, loader([questions(model, 1)] * steps))
    run.save_checkpoint(path)
    return torch.load(path, weights_only=True)


def answers(model):
    model.eval()
    with torch.no_grad():
        return model(questions(model, 2)).logits


def require_equal(one, other):
    assert type(one) is type(other)
    assert torch.equal(answers(one), answers(other))
    assert one.description == other.description
    assert one.description.unrecorded == {}
    labels = questions(one, 2).labels
    assert torch.equal(one.loss(answers(one), labels), other.loss(answers(other), labels))

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


def trained(model, path, steps=1):
    """Train a little and save."""
    run = trainer(max_steps=steps)
    run.fit(model, loader([batch(seed=1)] * steps))
    run.save_checkpoint(path)
    return torch.load(path, weights_only=True)


def answers(model):
    model.eval()
    with torch.no_grad():
        return model(batch(seed=2)).logits


def require_equal(one, other):
    assert type(one) is type(other)
    assert torch.equal(answers(one), answers(other))
    assert one.description == other.description
    assert one.description.unrecorded == {}
    labels = batch(seed=2).labels
    assert torch.equal(one.loss(answers(one), labels), other.loss(answers(other), labels))

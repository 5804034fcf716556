"""Small frozen models, and reasoners that stand on them."""

from __future__ import annotations

from pathlib import Path

import torch
from helpers import SIZES, attention, causal, seeded
from saved_models import made, trained
from torch import nn

from recurlight import (
    Backbone,
    HeadDecoder,
    HiddenEncoder,
    SingleRefiner,
    SoftTokenDecoder,
    SoftTokenEncoder,
    TrainedBackbone,
    TwoLevelRefiner,
)


class Tied(Backbone):
    """Its head is its embedding; `later` lets a position see the one after it."""

    def __init__(self, rows=SIZES.vocab, width=SIZES.width, symbols=None, later=False, noise=0.0, short=0):
        super().__init__(symbols)
        self.width, self.later, self.noise, self.short = width, later, noise, short
        network = nn.ModuleDict({"embedding": nn.Embedding(rows, width), "head": nn.Linear(width, rows)})
        network["head"].weight.data = torch.randn(rows, width, generator=seeded(3))
        network["embedding"].weight = network["head"].weight
        self.hold(network)

    def vectors(self, tokens):
        return self.network["embedding"](tokens)

    def hidden(self, embedded):
        before = embedded.cumsum(1) if not self.later else embedded.flip(1).cumsum(1).flip(1)
        return (before + self.noise * torch.randn_like(before))[..., self.short :]

    def head(self):
        return self.network["head"].weight

    def identity(self):
        return {"path": "tied", "sha256": "1" * 64}


def checkpoint(path: Path, **parts) -> str:
    """Write the checkpoint of a causal model after a step of training."""
    settings = {"refiner": SingleRefiner(causal()), "width": 8, "cycles": 2, "max_segments": 1, "seed": 5}
    trained(made(**(settings | parts)), path)
    return str(path)


def reasoner(path: str, **parts):
    """A model on the frozen one of that file."""
    settings = {
        "refiner": SingleRefiner(causal()),
        "encoder": HiddenEncoder(learned_positions=True),
        "decoder": HeadDecoder(),
        "backbone": parts.pop("backbone", None) or TrainedBackbone(path),
        "width": SIZES.width,
    }
    return made(**(settings | parts))


def thinking(prefix: int = 3, learned_positions: bool = False, **parts):
    """A model whose thoughts are soft tokens for a small frozen one."""
    settings = {
        "refiner": TwoLevelRefiner(attention(), latent_steps=1),
        "encoder": SoftTokenEncoder(learned_positions),
        "decoder": SoftTokenDecoder(),
        "backbone": Tied(),
        "prefix": prefix,
        "width": 8,
    }
    return made(**(settings | parts))

"""The tiny tasks of the checks, of tokens and of numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from recurlight.losses import MeanSquaredError, SequenceLoss, StablemaxCrossEntropy
from recurlight.types import Batch, Sizes

__all__ = ["FIELDS", "TINY", "loss_of", "questions"]

TINY = Sizes(vocab=6, tokens=16, width=32)
FIELDS = Sizes(vocab=0, tokens=16, width=32, features=2, targets=1)
"""A tiny task of numbers."""


def questions(sizes: Sizes, rows: int = 4, seed: int = 0) -> Batch:
    """Make random questions whose answer is each token's neighbour, or the first number of each's.

    Where one is of tokens and the other of numbers, the answer is drawn by itself.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs, other = (_cells(rows, sizes, kind, generator) for kind in (sizes.features, sizes.targets))
    labels = other
    if bool(sizes.features) == bool(sizes.targets):
        near = inputs.roll(1, dims=1)
        labels = near[..., :1].repeat(1, 1, sizes.targets) if sizes.targets else near
    return Batch(inputs, labels, torch.arange(rows) % sizes.tasks)


def _cells(rows: int, sizes: Sizes, numbers: int, generator: torch.Generator) -> Tensor:
    """Draw tokens, or so many numbers at each position."""
    if numbers:
        return torch.randn(rows, sizes.tokens, numbers, generator=generator)
    return torch.randint(1, sizes.vocab, (rows, sizes.tokens), generator=generator)


def loss_of(sizes: Sizes) -> SequenceLoss:
    """Return the loss of the kind of answers that a task has."""
    return MeanSquaredError() if sizes.targets else StablemaxCrossEntropy()

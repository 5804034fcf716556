"""Small refiners whose cycles contract, and a loss whose gradient reaches every field."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurlight.numerics import linear
from recurlight.refiners import Refiner, SingleRefiner, TwoLevelRefiner
from recurlight.types import Sized, Sizes

WIDTH = 5


def cell(seed: int, gain: float = 0.3) -> nn.Module:
    """A tanh layer whose matrix has the spectral norm `gain`."""
    layer = linear(WIDTH, WIDTH, torch.Generator().manual_seed(seed))
    layer.weight.data *= gain / torch.linalg.matrix_norm(layer.weight.data, 2)
    return nn.Sequential(layer, nn.Tanh())


def bound(refiner: Refiner, dtype: torch.dtype = torch.float64) -> Refiner:
    generator = torch.Generator().manual_seed(7)
    for part in refiner.modules():
        if isinstance(part, Sized):
            part.bind(Sizes(vocab=3, tokens=2, width=WIDTH), generator)
    return refiner.to(dtype)


def single(dtype: torch.dtype = torch.float64, gain: float = 0.3) -> Refiner:
    return bound(SingleRefiner(cell(1, gain)), dtype)


def two_level(
    dtype: torch.dtype = torch.float64, shared: bool = False, latent_steps: int = 2, gain: float = 0.3
) -> Refiner:
    answer = None if shared else cell(2, gain)
    return bound(TwoLevelRefiner(cell(1, gain), answer, latent_steps), dtype)


def question(dtype: torch.dtype = torch.float64, rows: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(rows, 2, WIDTH, generator=generator, dtype=torch.float64).to(dtype)


def loss(answer: Tensor) -> Tensor:
    weights = torch.linspace(0.5, 1.5, answer[0].numel(), dtype=answer.dtype).reshape(answer[0].shape)
    return (weights * answer**2).sum()


def gradients(refiner: Refiner, answer: Tensor, injection: Tensor) -> list[Tensor]:
    """Gradients of the loss with respect to the injection and all weights."""
    return list(torch.autograd.grad(loss(answer), [injection, *refiner.parameters()]))

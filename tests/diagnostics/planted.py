"""Drivers whose dynamics are known, and faults to plant in a trained one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from helpers import SIZES, batch, seeded, trm
from torch import Tensor, nn

from recurlight import (
    FixedHalting,
    LastCycles,
    Recursion,
    Refiner,
    SingleRefiner,
    SingleState,
    SoftmaxCrossEntropy,
)


class Matrix(nn.Module):
    """Multiplies each position with a matrix whose eigenvalues are known."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.to(x.dtype).T


def orthogonal(width: int = SIZES.width, seed: int = 3) -> Tensor:
    return torch.linalg.qr(torch.randn(width, width, dtype=torch.float64, generator=seeded(seed)))[0]


def symmetric(largest: float, width: int = SIZES.width) -> Tensor:
    """A matrix whose largest eigenvalue is known, and twice the next."""
    turn = orthogonal(width)
    values = torch.linspace(0.0, largest / 2, width, dtype=torch.float64)
    values[-1] = largest
    return turn @ values.diag() @ turn.T


def linear(largest: float, truncation=None, **settings) -> Recursion:
    """A driver whose cycle is `answer <- W (answer + question)`."""
    settings = {"cycles": 4, "max_segments": 4} | settings
    refiner = SingleRefiner(Matrix(symmetric(largest)))
    return Recursion(SIZES, refiner, truncation or LastCycles(1), FixedHalting(), **settings).double()


class Wrapped(Refiner):
    """Another refiner, with something done to its updates."""

    def __init__(self, inner) -> None:
        super().__init__()
        self.inner = inner

    def cells(self):
        return self.inner.cells()

    def schedule(self):
        return self.inner.schedule()

    def initial_state(self, injection):
        return self.inner.initial_state(injection)

    def update(self, state, injection, level):
        return self.inner.update(state, injection, level)


class Overshooting(Wrapped):
    """Goes four times as far as it should, so that eigenvalues `e` become `1 + 4 (e - 1)`."""

    def update(self, state, injection, level):
        there = getattr(super().update(state, injection, level), level)
        here = getattr(state, level)
        return state._replace(**{level: here + 4 * (there - here)})


class Dead(Wrapped):
    """Never writes its latent."""

    def update(self, state, injection, level):
        return state if level == "latent" else super().update(state, injection, level)


class Deaf(Wrapped):
    """Writes the same latent whatever it sees."""

    def update(self, state, injection, level):
        if level == "latent":
            return state._replace(latent=torch.ones_like(state.latent))
        return super().update(state, injection, level)


class Swinging(Wrapped):
    """Turns the answer's sign at every cycle."""

    def update(self, state, injection, level):
        return state._replace(answer=-state.answer) if level == "answer" else state


class Pair(NamedTuple):
    answer: Tensor
    latent: Tensor


def learnt(steps: int = 120) -> Recursion:
    """A small TRM that has learnt to turn every token into the next; it takes some seconds."""
    recursion, loss = trm(seed=1, exploration=0.5), SoftmaxCrossEntropy()
    optimizer = torch.optim.AdamW(recursion.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=steps)
    carry = recursion.start(batch(32))
    for step in range(steps):
        carry, total, _, _ = recursion.learn(carry, batch(32, seed=step), loss, step)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
    return recursion


def state_of(*values: float) -> SingleState:
    return SingleState(torch.tensor([values], dtype=torch.float64))

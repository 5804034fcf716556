"""Parts as users write them: nothing here knows that it will be recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from helpers import mixer
from torch import Tensor, nn

from recurlight import (
    Decoder,
    Encoder,
    FixedHalting,
    GradientTruncation,
    LastCycles,
    RecursiveModule,
    Refiner,
    SequenceLoss,
    SingleRefiner,
    SingleState,
    Sized,
    StartVector,
)


@dataclass
class Record:
    """Settings that travel together."""

    gain: float = 1.0
    names: tuple[str, ...] = ("a",)


class OwnRefiner(Refiner[SingleState]):
    """Keeps none of its arguments under their names, and annotates only some."""

    def __init__(
        self, parts, record: Record, *, norm: Callable[..., nn.Module] = nn.Identity, **scales: float
    ):
        super().__init__()
        self.networks = nn.ModuleDict(parts)
        self.gain = record.gain * sum(scales.values())
        self.norm = norm()
        self.start = StartVector()

    def cells(self):
        return {"answer": self.networks}

    def schedule(self):
        return ("answer",)

    def initial_state(self, injection):
        return SingleState(self.start(injection))

    def update(self, state, injection, level):
        answer = state.answer + injection
        for network in self.networks.values():
            answer = self.norm(network(answer))
        return SingleState(torch.tanh(self.gain * answer))


class OwnHalting(FixedHalting):
    def __init__(self, threshold: float, file: Path | None = None) -> None:
        super().__init__()
        self.limit = -threshold
        self.file = file


class OwnTruncation(GradientTruncation):
    def __init__(self, inner: GradientTruncation, note: Any = None) -> None:
        self._inner = inner
        self._note = note

    def check(self, refiner, cycles):
        self._inner.check(refiner, cycles)

    def run(self, refiner, state, injection, cycles):
        return self._inner.run(refiner, state, injection, cycles)


@dataclass(frozen=True)
class OwnWindow(LastCycles):
    share: float = 0.5


class OwnEncoder(Encoder):
    def __init__(self, gain: float = 2.0) -> None:
        super().__init__()
        self._gain = gain

    def build(self, sizes, generator):
        self.table = nn.Parameter(torch.randn(sizes.vocab, sizes.width, generator=generator))

    def forward(self, inputs, task):
        return self._gain * self.table[inputs]


class OwnDecoder(Decoder):
    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self._bias = bias

    def build(self, sizes, generator):
        self.table = nn.Parameter(torch.randn(sizes.vocab, sizes.width, generator=generator))
        self.shift = nn.Parameter(torch.ones(sizes.vocab)) if self._bias else None

    def forward(self, answer):
        return nn.functional.linear(answer, self.table, self.shift).float()


class OwnLoss(SequenceLoss):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self._factor = factor

    def token_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self._factor * nn.functional.cross_entropy(logits.mT, labels, reduction="none")


class OwnCell(Sized):
    def __init__(self, hidden: int = 8, activation: Callable[[Tensor], Tensor] = nn.functional.silu) -> None:
        super().__init__()
        self._hidden = hidden
        self._activation = activation

    def build(self, sizes, generator):
        self.up = nn.Parameter(torch.randn(self._hidden, sizes.width, generator=generator))

    def forward(self, x):
        return x + self._activation(x @ self.up.T) @ self.up


class PlainCell(nn.Module):
    """Keeps its arguments, as torch's modules do."""

    def __init__(self, width: int, hidden: int = 8, bias: bool = False) -> None:
        super().__init__()
        self.width, self.hidden = width, hidden
        self.inner = nn.Sequential(nn.Linear(width, hidden, bias), nn.GELU(), nn.Linear(hidden, width, bias))
        self.bias = self.inner[0].bias

    def forward(self, x):
        return x + self.inner(x)


class Forgetful(nn.Module):
    """Keeps nothing."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(16, hidden)

    def forward(self, x):
        return x + self.up(x) @ self.up.weight


class Misleading(nn.Module):
    """Keeps something else under the name of its argument."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth + 1

    def forward(self, x):
        return torch.tanh(x * self.depth)


class OwnModule(RecursiveModule):
    """A model whose constructor takes other arguments."""

    def __init__(self, tokens: int, steps: int = 2) -> None:
        super().__init__(
            6, tokens, SingleRefiner(mixer()), LastCycles(1), FixedHalting(), width=16, cycles=steps
        )

"""A model whose answers are known: each token counts up to its question, one a segment, and stays there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurlight import (
    Batch,
    CorrectnessHalting,
    Decoder,
    Encoder,
    EveryUpdate,
    Recursion,
    Refiner,
    SingleState,
    Sizes,
)

SIZES = Sizes(vocab=9, tokens=3, width=4, prefix=1, tasks=9)
CAP = 12


class Asked(Encoder):
    """Task and question in the first channel."""

    def build(self, sizes, generator):
        pass

    def forward(self, question: Tensor, task: Tensor) -> Tensor:
        channel = torch.cat([task[:, None], question], dim=1).float()
        return channel[:, :, None] * torch.eye(self.sizes.width)[0]


class Count(Refiner[SingleState]):
    """One more a cycle, up to what is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Identity()

    def cells(self):
        return {"answer": self.cell}

    def schedule(self):
        return ("answer",)

    def initial_state(self, injection):
        return SingleState(torch.zeros_like(injection))

    def update(self, state, injection, level):
        return SingleState(torch.minimum(state.answer + 1, injection))


class Read(Decoder):
    """Likeliest is the count, the surer the higher it is."""

    def build(self, sizes, generator):
        pass

    def forward(self, answer: Tensor) -> Tensor:
        count = answer[:, self.sizes.prefix :, :1]  # (B, L, 1)
        return -((torch.arange(self.sizes.vocab) - count) ** 2) * count


def counting(halting=None, **settings) -> Recursion:
    """Whose judge looks at the prefix, which counts up to the task."""
    settings = {"cycles": 1, "max_segments": CAP, "exploration": 0.0} | settings
    parts = Count(), EveryUpdate(), halting or CorrectnessHalting(), Asked(), Read()
    return Recursion(SIZES, *parts, **settings)


def asking(*rows: list[int], tasks: list[int] | None = None) -> Batch:
    inputs = torch.tensor(rows)
    return Batch(inputs, inputs, torch.tensor(tasks or [0] * len(rows)))

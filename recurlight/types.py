"""The records that cross boundaries, and the one alphabet of shape letters.

| letter | meaning |
| --- | --- |
| `B` | slots: rows of the batch, each holding one sample until that sample halts |
| `L` | tokens of a sample |
| `P` | task-prefix positions put before the tokens |
| `N` | positions, `P + L` |
| `D` | width |
| `V` | vocabulary |
| `K` | halting scores, defined by the halting policy |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.spec import Recorded

__all__ = [
    "IGNORE",
    "Batch",
    "Carry",
    "Outcome",
    "Prediction",
    "Segment",
    "Sized",
    "Sizes",
    "State",
    "StateT",
]

IGNORE = -100
"""Label of a position that is not supervised."""


class State(Protocol):
    """What every refiner's state has: a `NamedTuple` of batch-first tensors with a field `answer`."""

    @property
    def answer(self) -> Tensor:
        """Answer, `(B, N, D)`: what the decoder and the halting policy read."""
        ...


StateT = TypeVar("StateT", bound=State)


class Batch(NamedTuple):
    """One sample for each slot."""

    inputs: Tensor
    """Question tokens, `(B, L)` int64."""
    labels: Tensor
    """Answer tokens, `(B, L)` int64, `IGNORE` where not supervised."""
    task: Tensor
    """Task of each sample, `(B,)` int64, 0 when the data has one task."""


class Segment(NamedTuple):
    """What one segment computed: all that a halting policy may look at."""

    before: Tensor
    """Answer on entry, `(B, N, D)`, without gradient."""
    answer: Tensor
    """Answer on exit, `(B, N, D)`, with gradient in training."""
    logits: Tensor
    """Read-out of the answer, `(B, L, V)` float32 (float64 for a float64 model)."""


class Outcome(NamedTuple):
    """What a halting loss may learn from."""

    correct: Tensor
    """Whether every supervised token is right, `(B,)` bool."""
    last: Tensor
    """Whether the slot has reached the cap on segments, `(B,)` bool."""
    next_score: Tensor | None
    """Scores after one more segment, `(B, K)`, only for policies with `needs_lookahead`."""


class Carry(NamedTuple):
    """What the slots keep from one training step to the next; no tensor in it carries gradient."""

    state: State
    """The refiner's state, batch-first."""
    batch: Batch
    """The sample that each slot is working on."""
    age: Tensor
    """Segments spent on that sample, `(B,)` int32."""
    halted: Tensor
    """Whether the slot takes a fresh sample next, `(B,)` bool."""


class Prediction(NamedTuple):
    """Where each row stopped."""

    logits: Tensor
    """Read-out at the segment where the row stopped, `(B, L, V)` float32."""
    segments: Tensor
    """Segments spent, `(B,)` int32."""
    halted: Tensor
    """Whether the policy stopped the row, `(B,)` bool; False where the cap did."""
    confidence: Tensor
    """The policy's probability that the answer is right, `(B,)` float32; 0 where it does not judge."""


class Sizes(NamedTuple):
    """The sizes that a composition shares.

    Example:
        >>> Sizes(vocab=11, tokens=81, width=512, prefix=16).positions
        97
    """

    vocab: int
    """Vocabulary `V`."""
    tokens: int
    """Tokens of a sample, `L`."""
    width: int
    """Width `D`."""
    prefix: int = 0
    """Task-prefix positions `P`."""
    tasks: int = 1
    """Number of tasks in the data."""

    @property
    def positions(self) -> int:
        """Positions `N = P + L`."""
        return self.prefix + self.tokens


class Sized(Recorded, nn.Module, ABC):
    """A module that makes its parameters when the composition tells it the sizes.

    Cells, codecs, halting heads and start vectors do not repeat the width or the number of positions:
    `Recursion` calls `bind` once on every `Sized` submodule. Weights are drawn from the generator that it
    passes, never from global random state.
    """

    sizes: Sizes | None = None

    @abstractmethod
    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the parameters and buffers, drawing from `generator` (on the CPU) alone."""

    def bind(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Build on first use; on later use keep the weights and insist on the same sizes.

        Raises:
            IncompatibleComponents: The module was built for other sizes.
        """
        if self.sizes is None:
            self.build(sizes, generator)
            self.sizes = sizes
        elif self.sizes != sizes:
            name = type(self).__name__
            raise IncompatibleComponents(
                f"{name} was already built for {self.sizes} and cannot serve {sizes}: make a new {name}"
            )

"""The read-out that learnt halting policies share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurlight.numerics import at_least_float32, full_precision
from recurlight.types import Sized, Sizes

__all__ = ["HaltingHead"]


class HaltingHead(Sized):
    """Linear scores of the answer's first position; weight 0 and bias -5 at first, so that nothing halts.

    Args:
        scores: Number of scores `K`.
    """

    def __init__(self, scores: int) -> None:
        super().__init__()
        self.scores = scores

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make weight `(K, D)` and bias `(K,)`; nothing is drawn."""
        self.weight = nn.Parameter(torch.zeros(self.scores, sizes.width))
        self.bias = nn.Parameter(torch.full((self.scores,), -5.0))

    def forward(self, answer: Tensor) -> Tensor:
        """Map the answer `(B, N, D)` to scores `(B, K)`, float32 (float64 for a float64 model)."""
        self.expect_states(answer)
        with full_precision(answer):
            return functional.linear(at_least_float32(answer[:, 0]), self.weight, self.bias)

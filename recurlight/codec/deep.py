"""Layers that are applied once, before the recursion and after it: prelude and coda."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurlight.codec.base import Decoder, Encoder
from recurlight.codec.tokens import TokenDecoder, TokenEncoder
from recurlight.types import Sizes

__all__ = ["DeepDecoder", "DeepEncoder"]


class DeepEncoder(Encoder):
    """A prelude: tokens are embedded, then a cell is applied once, in every segment anew.

    `injection = cell(TokenEncoder(question))`

    Args:
        cell: Network, `(B, N, D)` to the same shape, with weights of its own.
        learned_positions: See `TokenEncoder`.

    Example:
        >>> from recurlight import CausalTransformerCell, FixedHalting, LastCycles, Recursion, SingleRefiner
        >>> once, again = CausalTransformerCell(1, heads=2), CausalTransformerCell(1, heads=2)
        >>> encoder, refiner = DeepEncoder(once), SingleRefiner(again)
        >>> recursion = Recursion(Sizes(9, 16, 32), refiner, LastCycles(1), FixedHalting(), encoder)
        >>> recursion.encoder(torch.ones(2, 16, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)).shape
        torch.Size([2, 16, 32])

    Reference:
        Geiping et al. 2025 (Huginn, arXiv:2502.05171), prelude.
    """

    def __init__(self, cell: nn.Module, learned_positions: bool = False) -> None:
        super().__init__()
        self.tokens, self.cell = TokenEncoder(learned_positions), cell

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make nothing: its parts have the parameters."""

    def forward(self, question: Tensor, task: Tensor) -> Tensor:
        """Map questions, `(B, L)` int64, and tasks, `(B,)` int64, to `(B, N, D)`."""
        injection: Tensor = self.cell(self.tokens(question, task))
        return injection


class DeepDecoder(Decoder):
    """A coda: a cell is applied to the answer once, then tokens are read out.

    `logits = TokenDecoder(cell(answer))`

    The halting policy reads the answer as the recursion leaves it, before the coda.

    Args:
        cell: Network, `(B, N, D)` to the same shape, with weights of its own.

    Example:
        >>> from recurlight import CausalTransformerCell, FixedHalting, LastCycles, Recursion, SingleRefiner
        >>> once, again = CausalTransformerCell(1, heads=2), CausalTransformerCell(1, heads=2)
        >>> parts = SingleRefiner(again), LastCycles(1), FixedHalting()
        >>> recursion = Recursion(Sizes(9, 16, 32), *parts, decoder=DeepDecoder(once))
        >>> recursion.decoder(torch.zeros(2, 16, 32)).shape
        torch.Size([2, 16, 9])

    Reference:
        Geiping et al. 2025 (Huginn, arXiv:2502.05171), coda.
    """

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.tokens = cell, TokenDecoder()

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make nothing: its parts have the parameters."""

    def forward(self, answer: Tensor) -> Tensor:
        """Map `(B, N, D)` to `(B, L, V)`."""
        logits: Tensor = self.tokens(self.cell(answer))
        return logits

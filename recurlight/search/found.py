"""What a search found."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recurlight.search.base import Selector, picked
from recurlight.search.chains import Chains
from recurlight.types import Prediction

__all__ = ["Found", "found_in"]


class Found(NamedTuple):
    """What a search found for each row.

    Attributes:
        logits: Read-out of the chosen chain for the question as it was asked, `(B, L, V)`, or `(B, L, G)`.
        answer: What it says, tokens `(B, L)` int64, or the numbers.
        chain: The chosen chain, `(B,)` int64.
        agreement: Share of the chains that answer so, `(B,)` float32.
        confidence: How sure the selector is, `(B,)` float32 from 0 to 1.
        segments: Segments spent on all chains together, `(B,)` int32.
        updates: Applications of a cell spent on all chains together, `(B,)` int32.
        chains: All chains.
    """

    logits: Tensor
    answer: Tensor
    chain: Tensor
    agreement: Tensor
    confidence: Tensor
    segments: Tensor
    updates: Tensor
    chains: Chains

    def prediction(self) -> Prediction:
        """Return it as `Recursion.solve` tells what it found; `segments` are those of all chains."""
        halted = picked(self.chains.halted, self.chain)
        return Prediction(self.logits, self.segments, halted, self.confidence)

    def first(self, width: int, selector: Selector) -> Found:
        """Return what the first chains alone would have come to.

        Args:
            width: How many, from 1 to `K`.
            selector: Chooses among them.
        """
        return found_in(self.chains.first(width), selector, self.updates // self.segments)


def found_in(chains: Chains, selector: Selector, updates: Tensor | int) -> Found:
    """Let a selector choose.

    Args:
        chains: All of them.
        selector: Chooses.
        updates: Applications of a cell in a segment.
    """
    chosen = selector.choose(chains)
    segments = chains.segments.sum(dim=1, dtype=torch.int32)
    return Found(
        logits=picked(chains.logits, chosen),
        answer=picked(chains.answers, chosen),
        chain=chosen,
        agreement=picked(chains.votes, chosen),
        confidence=selector.confidence(chains, chosen),
        segments=segments,
        updates=segments * updates,
        chains=chains,
    )

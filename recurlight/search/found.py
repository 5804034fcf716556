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
        updates: Applications of a cell spent on all chains together, `(B,)` int64.
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


def found_in(chains: Chains, selector: Selector, updates: int) -> Found:
    """Let a selector choose.

    Args:
        chains: All of them.
        selector: Chooses.
        updates: Applications of a cell in a segment.
    """
    chosen = selector.choose(chains)
    segments = chains.segments.sum(dim=1, dtype=torch.int32)
    return Found(
        picked(chains.logits, chosen),
        picked(chains.answers, chosen),
        chosen,
        picked(chains.votes, chosen),
        selector.confidence(chains, chosen),
        segments,
        segments.long() * updates,
        chains,
    )

"""What several chains made of the same questions, and how far they agree."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Chains", "alike"]


class Chains(NamedTuple):
    """Where `K` chains of each row stand; chain 0 is the question as it is.

    Attributes:
        logits: Read-outs for the question as it was asked, `(B, K, L, V)`, or numbers `(B, K, L, G)`.
        answers: What they say, tokens `(B, K, L)` int64, or the numbers.
        alike: Which chains answer alike, `(B, K, K)` bool; cells of padding do not count.
        score: The halting policy's probability that the answer is right, `(B, K)`; 0 where it does not judge.
        segments: Segments spent, `(B, K)` int32.
        halted: Whether the chain stopped by itself, `(B, K)` bool; False where the cap ended it.
        residual: Relative change of the answer's state in the last segment, `(B, K)`.
        holds: Whether the answer keeps the rules of the task, `(B, K)` bool; None where none are known.
    """

    logits: Tensor
    answers: Tensor
    alike: Tensor
    score: Tensor
    segments: Tensor
    halted: Tensor
    residual: Tensor
    holds: Tensor | None

    @property
    def votes(self) -> Tensor:
        """Share of the chains that answer as each does, itself among them, `(B, K)` float32."""
        return self.alike.float().mean(dim=2)

    def first(self, width: int) -> Chains:
        """Return the first chains alone.

        Args:
            width: How many, from 1 to `K`.
        """
        found = Chains(*(None if field is None else field[:, :width] for field in self))  # type: ignore[arg-type]
        return found._replace(alike=self.alike[:, :width, :width])


def alike(answers: Tensor) -> Tensor:
    """Tell which chains give the same answer as which, whole answers compared.

    Args:
        answers: `(B, K, ...)`.

    Returns:
        `(B, K, K)` bool.

    Example:
        >>> alike(torch.tensor([[[1, 2], [1, 3], [1, 2]]])).int()
        tensor([[[1, 0, 1],
                 [0, 1, 0],
                 [1, 0, 1]]], dtype=torch.int32)
    """
    flat = answers.flatten(2)  # one chain at a time: all at once would take K times the memory
    return torch.stack([(flat == each[:, None]).all(dim=2) for each in flat.unbind(dim=1)], dim=1)

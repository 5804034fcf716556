"""Whether what a model says of a position depends on those after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recurlight import draw
from recurlight.errors import IncompatibleComponents
from recurlight.numerics import floats
from recurlight.types import Batch

if TYPE_CHECKING:
    from recurlight.recursion.driver import Recursion

__all__ = ["require_causal"]

_CLOSE = 1e-2
"""How far logits may be from those of the same text with another end, relative to the largest."""


@torch.no_grad()
def require_causal(recursion: Recursion) -> None:
    """Try two texts that differ in their second half only, of which the first half has to be read alike.

    A model that is asked for the next token and sees it learns to copy, and its figures say nothing.

    Args:
        recursion: Of tokens.

    Raises:
        IncompatibleComponents: The model looks ahead.
    """
    texts = _two_texts(recursion)
    batch, cut = Batch(texts, texts, texts.new_zeros(2)), texts.shape[1] // 2
    with draw.still():
        _, segment, _ = recursion.segment(recursion.start(batch), batch)
    one, other = segment.logits[:, :cut].float()
    close = _CLOSE * max(1.0, float(segment.logits.abs().max()))
    if not torch.allclose(one, other, rtol=0, atol=close):
        raise IncompatibleComponents(
            f"{type(recursion.refiner).__name__} with these cells sees the tokens after a position, which "
            "the data ask it for: it would copy them; give it cells such as CausalTransformerCell"
        )


def _two_texts(recursion: Recursion) -> Tensor:
    """Return two rows of tokens, `(2, L)`, that are alike in their first half and nowhere else."""
    sizes, device = recursion.sizes, next(floats(recursion), torch.zeros(())).device
    first = 1 + torch.arange(sizes.tokens, device=device) % max(sizes.vocab - 1, 1)
    first = first % sizes.vocab
    second = first.clone()
    second[sizes.tokens // 2 :] = (second[sizes.tokens // 2 :] + 1) % sizes.vocab
    return torch.stack([first, second])

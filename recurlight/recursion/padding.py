"""Which positions hold something, told to the parts that want to know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from recurlight.codec.base import Encoder
from recurlight.types import Sized

__all__ = ["padding_told"]


@contextmanager
def padding_told(model: nn.Module, encoder: Encoder, inputs: Tensor) -> Iterator[None]:
    """Set `filled` of every part that is `masked`, and take it back at the end.

    A row of padding alone, which only fills a batch up, counts as filled: attention to nothing has no value.

    Args:
        model: The composition.
        encoder: Knows padding.
        inputs: Questions, `(B, ...)`.
    """
    parts = [part for part in model.modules() if isinstance(part, Sized) and part.masked]
    filled: Tensor | None = None
    if parts:
        filled = encoder.filled_positions(inputs)  # (B, N)
        filled = filled | ~filled.any(dim=1, keepdim=True)
    try:
        for part in parts:
            part.filled = filled
        yield
    finally:
        for part in parts:
            part.filled = None

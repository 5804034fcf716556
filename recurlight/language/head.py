"""Logits by the head of a frozen model."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from recurlight.codec.backbone import UsesBackbone
from recurlight.codec.base import Decoder
from recurlight.numerics import at_least_float32, full_precision, linear
from recurlight.types import Sizes

__all__ = ["HeadDecoder"]


class HeadDecoder(UsesBackbone, Decoder):
    """The head of the backbone, read at the answer in place of its own hidden states.

    `logits = W answer[P:]`, or `W (projection @ answer[P:])` where the widths differ; `W` has a row for each
    of the data's tokens alone.

    Example:
        >>> decoder = HeadDecoder()
        >>> decoder.bind(Sizes(vocab=6, tokens=16, width=32), torch.Generator())
        Traceback (most recent call last):
        recurlight.errors.IncompatibleComponents: HeadDecoder reads a frozen model and there is none: ...
    """

    runs = False

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the projection, if there is one."""
        self.prefix, width = sizes.prefix, self.backbone.width
        self.projection = None if width == sizes.width else linear(sizes.width, width, generator)

    def forward(self, answer: Tensor) -> Tensor:
        """Map `(B, N, D)` to `(B, L, V)`."""
        self.expect_states(answer)
        with full_precision(answer):
            hidden = at_least_float32(answer[:, self.prefix :])
            hidden = hidden if self.projection is None else self.projection(hidden)
            return functional.linear(hidden, self.backbone.readout().to(hidden.dtype))

"""Numbers to injection, answer to numbers."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurlight.codec.base import Decoder, PositionedEncoder
from recurlight.errors import IncompatibleComponents
from recurlight.numerics import at_least_float32, full_precision, linear, truncated_normal
from recurlight.types import Sizes

__all__ = ["ContinuousDecoder", "ContinuousEncoder"]


class ContinuousEncoder(PositionedEncoder):
    """A linear map of the numbers of each position, with an optional prefix and optional learned positions.

    `injection = sqrt(D) * concat(prefix, W x + b)`, and with learned positions
    `sqrt(D) * (concat(prefix, W x + b) + position) / sqrt(2)`

    For fields, pixels and measurements, of which the data say how many numbers `F` a position has. Numbers of
    about unit size make an injection of about unit size, as that of tokens is; scale yours to that in the
    data. Where a number says something only beside others (a value that may be missing), give a number that
    says so, for 0 is a value too. The task prefix is that of `TokenEncoder`.

    Args:
        learned_positions: Add a trained vector for each position; for cells that know no positions.
        task_width: Numbers in a task's vector, from 1 to `P * D`; None for `D`.
        task_table: Keeps the tasks' vectors, for very many tasks; None for a parameter.

    Raises:
        IncompatibleComponents: On `bind`, when the task vector does not fit into the prefix.

    Example:
        >>> encoder = ContinuousEncoder()
        >>> sizes = Sizes(vocab=0, tokens=16, width=32, prefix=2, features=3, targets=1)
        >>> encoder.bind(sizes, torch.Generator().manual_seed(0))
        >>> encoder(torch.zeros(5, 16, 3), torch.zeros(5, dtype=torch.int64)).shape
        torch.Size([5, 18, 32])

    Reference:
        The patch embedding of Dosovitskiy et al., An image is worth 16x16 words, arXiv:2010.11929.
    """

    numbers: ClassVar[bool] = True

    def build_embedding(self, sizes: Sizes, std: float, generator: torch.Generator) -> None:
        """Make the map, whose bias is zero at first."""
        shape = (sizes.width, sizes.features)
        deviation = std / math.sqrt(sizes.features)
        self.weight = nn.Parameter(truncated_normal(*shape, std=deviation, generator=generator))
        self.bias = nn.Parameter(torch.zeros(sizes.width))

    def embed(self, question: Tensor) -> Tensor:
        """Map numbers `(B, L, F)` to `(B, L, D)`, in full precision until the injection is complete."""
        with full_precision(question):
            return functional.linear(question.to(self.weight.dtype), self.weight, self.bias)


class ContinuousDecoder(Decoder):
    """One linear read-out per position, `numbers = W answer[P:] + b`; the prefix positions are dropped.

    The data say how many numbers `G` a position of the answer has.

    Example:
        >>> decoder = ContinuousDecoder()
        >>> sizes = Sizes(vocab=0, tokens=16, width=32, prefix=2, features=3, targets=1)
        >>> decoder.bind(sizes, torch.Generator().manual_seed(0))
        >>> decoder(torch.zeros(5, 18, 32)).shape
        torch.Size([5, 16, 1])
    """

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the head, standard deviation `1 / sqrt(D)`, and its bias, zero at first.

        Raises:
            IncompatibleComponents: Answers are no numbers.
        """
        if not sizes.targets:
            raise IncompatibleComponents(
                "ContinuousDecoder reads numbers out and the answers of the data are tokens: "
                "set model.decoder to null or to TokenDecoder"
            )
        self.prefix = sizes.prefix
        self.head = linear(sizes.width, sizes.targets, generator)
        self.bias = nn.Parameter(torch.zeros(sizes.targets))

    def forward(self, answer: Tensor) -> Tensor:
        """Map `(B, N, D)` to `(B, L, G)`."""
        self.expect_states(answer)
        with full_precision(answer):
            numbers: Tensor = self.head(at_least_float32(answer[:, self.prefix :])) + self.bias
        return numbers

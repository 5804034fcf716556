"""Tokens to injection, answer to logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurlight.codec.base import Decoder, PositionedEncoder
from recurlight.errors import IncompatibleComponents
from recurlight.numerics import at_least_float32, full_precision, linear, truncated_normal
from recurlight.types import Sizes

__all__ = ["TokenDecoder", "TokenEncoder"]


class TokenEncoder(PositionedEncoder):
    """Token embedding, with an optional task prefix and optional learned positions.

    `injection = sqrt(D) * concat(prefix, embedding[tokens])`, and with learned positions
    `sqrt(D) * (concat(prefix, embedding[tokens]) + position) / sqrt(2)`

    The prefix, `prefix` positions set on the model, holds one vector per task, zero at first, cut into pieces
    of width `D` and padded with zeros. With one task there is one vector, whatever the numbers in `task`;
    `RecursiveModule` refuses data of more tasks than it has vectors, unless their `tasks_apart` is off.
    Rotary positions are the cell's business.

    Args:
        learned_positions: Add a trained vector for each position; for cells that know no positions.
        task_width: Numbers in a task's vector, from 1 to `P * D`; None for `D`, as published.
        task_table: Keeps the tasks' vectors, for very many tasks; None for a parameter.

    Raises:
        IncompatibleComponents: On `bind`, when the task vector does not fit into the prefix.

    Example:
        >>> encoder = TokenEncoder()
        >>> encoder.bind(Sizes(vocab=6, tokens=16, width=32, prefix=2), torch.Generator().manual_seed(0))
        >>> encoder(torch.zeros(3, 16, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)).shape
        torch.Size([3, 18, 32])

    Reference:
        The input network of HRM (arXiv:2506.21734) and TRM (arXiv:2510.04871).
    """

    def build_embedding(self, sizes: Sizes, std: float, generator: torch.Generator) -> None:
        """Make a vector for each token."""
        self.token = nn.Parameter(truncated_normal(sizes.vocab, sizes.width, std=std, generator=generator))

    def embed(self, question: Tensor) -> Tensor:
        """Look tokens `(B, L)` up, `(B, L, D)`."""
        return functional.embedding(question, self.token)


class TokenDecoder(Decoder):
    """One linear read-out per token, `logits = W answer[P:]`; the prefix positions are dropped.

    Example:
        >>> decoder = TokenDecoder()
        >>> decoder.bind(Sizes(vocab=6, tokens=16, width=32, prefix=2), torch.Generator().manual_seed(0))
        >>> decoder(torch.zeros(3, 18, 32)).shape
        torch.Size([3, 16, 6])
    """

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the head, standard deviation `1 / sqrt(D)`, without bias.

        Raises:
            IncompatibleComponents: Answers are no tokens.
        """
        if sizes.targets:
            raise IncompatibleComponents(
                "TokenDecoder reads tokens out and the answers of the data are numbers: "
                "set model.decoder to null or to ContinuousDecoder"
            )
        self.prefix = sizes.prefix
        self.head = linear(sizes.width, sizes.vocab, generator)

    def forward(self, answer: Tensor) -> Tensor:
        """Map `(B, N, D)` to `(B, L, V)`."""
        self.expect_states(answer)
        with full_precision(answer):
            logits: Tensor = self.head(at_least_float32(answer[:, self.prefix :]))
        return logits

"""Tokens to injection, answer to logits."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurlight.codec.task_table import SparseTable
from recurlight.errors import IncompatibleComponents
from recurlight.numerics import at_least_float32, full_precision, linear, to_compute_dtype, truncated_normal
from recurlight.slots import require_indices
from recurlight.spec.given import within
from recurlight.types import Sized, Sizes

__all__ = ["Decoder", "Encoder", "TokenDecoder", "TokenEncoder"]


class Encoder(Sized):
    """Turns a question into the injection that every update sees."""

    @abstractmethod
    def forward(self, tokens: Tensor, task: Tensor) -> Tensor:
        """Map tokens `(B, L)` and tasks `(B,)`, both int64, to the injection `(B, N, D)`."""

    def filled_positions(self, inputs: Tensor) -> Tensor:
        """Tell parts that are `masked` which positions hold something, `(B, N)` bool.

        The prefix does, and every token but padding, which is 0. Questions that are no tokens have none here;
        override it where they have.

        Args:
            inputs: Tokens, `(B, L)` int64; questions of another kind are `(B, L, ...)`.
        """
        if self.sizes is None:
            raise IncompatibleComponents(f"{type(self).__name__} is not built: compose it in a Recursion")
        filled = torch.ones_like(inputs[..., 0], dtype=torch.bool) if inputs.ndim > 2 else inputs != 0
        return functional.pad(filled, (self.sizes.prefix, 0), value=True)


class Decoder(Sized):
    """Reads the answer out."""

    @abstractmethod
    def forward(self, answer: Tensor) -> Tensor:
        """Map the answer `(B, N, D)` to logits `(B, L, V)`, float32 (float64 for a float64 model)."""


class TokenEncoder(Encoder):
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

    def __init__(
        self,
        learned_positions: bool = False,
        task_width: int | None = None,
        task_table: SparseTable | None = None,
    ) -> None:
        super().__init__()
        if task_width is not None:
            within("TokenEncoder", "task_width", task_width, 1)
        self.learned_positions, self.task_width, self.task_table = learned_positions, task_width, task_table
        self.prefix, self.tasks, self.scale = 0, 1, 1.0

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the embeddings, each of standard deviation `1 / sqrt(D)`, the tasks' zero."""
        self.prefix, self.tasks, self.scale = sizes.prefix, sizes.tasks, math.sqrt(sizes.width)
        std = 1 / self.scale
        self.token = nn.Parameter(truncated_normal(sizes.vocab, sizes.width, std=std, generator=generator))
        if self.learned_positions:
            shape = (sizes.positions, sizes.width)
            self.position = nn.Parameter(truncated_normal(*shape, std=std, generator=generator))
        if sizes.prefix:
            width = sizes.width if self.task_width is None else self.task_width
            room = sizes.prefix * sizes.width
            if not 1 <= width <= room:
                raise IncompatibleComponents(
                    f"TokenEncoder's task_width {width} does not fit {sizes.prefix} prefix positions: "
                    f"set task_width between 1 and {room} or change model.prefix"
                )
            if self.task_table is None:
                self.task = nn.Parameter(torch.zeros(sizes.tasks, width))
            else:
                self.task_table.allocate(sizes.tasks, width)

    def forward(self, tokens: Tensor, task: Tensor) -> Tensor:
        """Embed tokens `(B, L)` and tasks `(B,)` into `(B, N, D)`."""
        self._require_question(tokens, task)
        embedded = functional.embedding(tokens, self.token)  # (B, L, D)
        if self.prefix:
            embedded = torch.cat([self.task_prefix(task, embedded.shape[-1]), embedded], dim=1)  # (B, N, D)
        if self.learned_positions:
            embedded = (embedded + self.position) * math.sqrt(0.5)
        return to_compute_dtype(self.scale * embedded)

    def _require_question(self, tokens: Tensor, task: Tensor) -> None:
        if self.sizes is None:
            raise IncompatibleComponents("TokenEncoder is not built: compose it in a Recursion, or call bind")
        require_indices("tokens", tokens, (-1, self.sizes.tokens))
        require_indices("task", task, (tokens.shape[0],))

    def task_prefix(self, task: Tensor, width: int) -> Tensor:
        """Look up the tasks' vectors, padded and cut to `(B, P, D)`."""
        row = task if self.tasks > 1 else torch.zeros_like(task)
        vector = functional.embedding(row, self.task) if self.task_table is None else self.task_table(row)
        padded = functional.pad(vector, (0, self.prefix * width - vector.shape[-1]))
        return padded.reshape(-1, self.prefix, width)


class TokenDecoder(Decoder):
    """One linear read-out per token, `logits = W answer[P:]`; the prefix positions are dropped.

    Example:
        >>> decoder = TokenDecoder()
        >>> decoder.bind(Sizes(vocab=6, tokens=16, width=32, prefix=2), torch.Generator().manual_seed(0))
        >>> decoder(torch.zeros(3, 18, 32)).shape
        torch.Size([3, 16, 6])
    """

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the head, standard deviation `1 / sqrt(D)`, without bias."""
        self.prefix = sizes.prefix
        self.head = linear(sizes.width, sizes.vocab, generator)

    def forward(self, answer: Tensor) -> Tensor:
        """Map `(B, N, D)` to `(B, L, V)`."""
        self.expect_states(answer)
        with full_precision(answer):
            logits: Tensor = self.head(at_least_float32(answer[:, self.prefix :]))
        return logits

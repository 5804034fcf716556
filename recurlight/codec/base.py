"""What turns a question into the injection and reads the answer out, and what encoders share."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurlight.codec.task_table import SparseTable
from recurlight.errors import IncompatibleComponents
from recurlight.numerics import to_compute_dtype, truncated_normal
from recurlight.slots import require_cells, require_indices
from recurlight.spec.given import within
from recurlight.types import Batch, Sized, Sizes

__all__ = ["Decoder", "Encoder", "PositionedEncoder"]


class Encoder(Sized):
    """Turns a question into the injection that every update sees."""

    numbers: ClassVar[bool] = False
    """Whether questions are numbers, `(B, L, F)` float, and not tokens, `(B, L)` int64."""

    @abstractmethod
    def forward(self, question: Tensor, task: Tensor) -> Tensor:
        """Map questions, `(B, L)` int64 or `(B, L, F)`, and tasks, `(B,)` int64, to `(B, N, D)`."""

    def filled_positions(self, inputs: Tensor) -> Tensor:
        """Tell parts that are `masked` which positions hold something, `(B, N)` bool.

        The prefix does, and every token but padding, which is 0. Questions that are numbers have none here;
        override it where they have.

        Args:
            inputs: Questions, tokens `(B, L)` int64 or numbers `(B, L, F)`.
        """
        if self.sizes is None:
            raise IncompatibleComponents(f"{type(self).__name__} is not built: compose it in a Recursion")
        filled = torch.ones_like(inputs[..., 0], dtype=torch.bool) if inputs.ndim > 2 else inputs != 0
        return functional.pad(filled, (self.sizes.prefix, 0), value=True)


class Decoder(Sized):
    """Reads the answer out: logits where answers are tokens, numbers where they are numbers."""

    def outputs(self, sizes: Sizes) -> int:
        """Return how many numbers are read out at each position: `V` of tokens, `G` of numbers.

        Override it where a loss needs others, such as a mean and a variance of each number.
        """
        return sizes.targets or sizes.vocab

    @abstractmethod
    def forward(self, answer: Tensor) -> Tensor:
        """Map the answer `(B, N, D)` to `(B, L, outputs)`, float32 (float64 for a float64 model)."""

    def read(self, answer: Tensor, batch: Batch) -> Tensor:
        """Read the answer out with the question at hand: what the driver calls, here `forward` alone.

        Args:
            answer: `(B, N, D)`.
            batch: The samples that the answers are to; their labels are not for reading.
        """
        logits: Tensor = self(answer)
        return logits


class PositionedEncoder(Encoder):
    """An encoder of each position by itself, with an optional task prefix and optional learned positions.

    `injection = sqrt(D) * concat(prefix, embedded)`, and with learned positions
    `sqrt(D) * (concat(prefix, embedded) + position) / sqrt(2)`

    A subclass says in `build_embedding` and `embed` how a position becomes a vector.

    Args:
        learned_positions: Add a trained vector for each position; for cells that know no positions.
        task_width: Numbers in a task's vector, from 1 to `P * D`; None for `D`, as published.
        task_table: Keeps the tasks' vectors, for very many tasks; None for a parameter.

    Raises:
        IncompatibleComponents: On `bind`, when the task vector does not fit into the prefix.
    """

    def __init__(
        self,
        learned_positions: bool = False,
        task_width: int | None = None,
        task_table: SparseTable | None = None,
    ) -> None:
        super().__init__()
        if task_width is not None:
            within(type(self).__name__, "task_width", task_width, 1)
        self.learned_positions, self.task_width, self.task_table = learned_positions, task_width, task_table
        self.prefix, self.tasks, self.scale = 0, 1, 1.0

    @abstractmethod
    def build_embedding(self, sizes: Sizes, std: float, generator: torch.Generator) -> None:
        """Make the parameters of `embed`, such that what it returns has about this standard deviation."""

    @abstractmethod
    def embed(self, question: Tensor) -> Tensor:
        """Map a question, `(B, L)` int64 or `(B, L, F)`, to a vector for each position, `(B, L, D)`."""

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the embeddings, each of standard deviation `1 / sqrt(D)`, the tasks' zero."""
        self.prefix, self.tasks, self.scale = sizes.prefix, sizes.tasks, math.sqrt(sizes.width)
        std = 1 / self.scale
        self.build_embedding(sizes, std, generator)
        if self.learned_positions:
            shape = (sizes.positions, sizes.width)
            self.position = nn.Parameter(truncated_normal(*shape, std=std, generator=generator))
        if sizes.prefix:
            self._build_tasks(sizes)

    def _build_tasks(self, sizes: Sizes) -> None:
        width = sizes.width if self.task_width is None else self.task_width
        room = sizes.prefix * sizes.width
        if not 1 <= width <= room:
            raise IncompatibleComponents(
                f"{type(self).__name__}'s task_width {width} does not fit {sizes.prefix} prefix positions: "
                f"set task_width between 1 and {room} or change model.prefix"
            )
        if self.task_table is None:
            self.task = nn.Parameter(torch.zeros(sizes.tasks, width))
        else:
            self.task_table.allocate(sizes.tasks, width)

    def forward(self, question: Tensor, task: Tensor) -> Tensor:
        """Embed questions, `(B, L)` int64 or `(B, L, F)`, and tasks, `(B,)` int64, into `(B, N, D)`."""
        self._require_question(question, task)
        embedded = self.embed(question)  # (B, L, D)
        if self.prefix:
            embedded = torch.cat([self.task_prefix(task, embedded.shape[-1]), embedded], dim=1)  # (B, N, D)
        if self.learned_positions:
            position = self.position[self.offset : self.offset + embedded.shape[1]]
            embedded = (embedded + position) * math.sqrt(0.5)
        return to_compute_dtype(self.scale * embedded)

    def _require_question(self, question: Tensor, task: Tensor) -> None:
        if self.sizes is None:
            name = type(self).__name__
            raise IncompatibleComponents(f"{name} is not built: compose it in a Recursion, or call bind")
        numbers = self.sizes.features if self.numbers else 0
        require_cells("numbers" if numbers else "tokens", question, (-1, self.sizes.tokens), numbers)
        require_indices("task", task, (question.shape[0],))

    def task_prefix(self, task: Tensor, width: int) -> Tensor:
        """Look up the tasks' vectors, padded and cut to `(B, P, D)`."""
        row = task if self.tasks > 1 else torch.zeros_like(task)
        vector = functional.embedding(row, self.task) if self.task_table is None else self.task_table(row)
        padded = functional.pad(vector, (0, self.prefix * width - vector.shape[-1]))
        return padded.reshape(-1, self.prefix, width)

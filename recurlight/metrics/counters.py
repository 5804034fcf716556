"""What is measured: counters that stay exact, reduce by sum over ranks, and never wait for the device."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from recurlight.errors import IncompatibleComponents
from recurlight.metrics.shares import share
from recurlight.types import IGNORE

__all__ = ["ReasoningMetrics", "table_points"]


def table_points(max_segments: int) -> tuple[int, ...]:
    """Return the powers of two up to `max_segments`, and `max_segments` itself.

    Raises:
        IncompatibleComponents: `max_segments` is below 1.

    Example:
        >>> table_points(16), table_points(10)
        ((1, 2, 4, 8, 16), (1, 2, 4, 8, 10))
    """
    if max_segments < 1:
        raise IncompatibleComponents(f"table_points got max_segments={max_segments}: give 1 or more")
    powers = [1 << k for k in range(max_segments.bit_length())]
    return (*powers[:-1], *sorted({powers[-1], max_segments}))


class ReasoningMetrics(Metric):
    """Accuracy of answers and of halting, over the rows that have supervised tokens.

    - `token_accuracy`: right tokens / supervised tokens;
    - `exact_accuracy`: rows with every supervised token right / rows;
    - `segments`: mean number of segments used;
    - `halting_precision`: rows halted and right / rows halted;
    - `halting_recall`: rows halted and right / rows right.

    Precision and recall rather than an accuracy of halting, because a policy that never halts agrees with
    every wrong answer. A ratio of nothing is 0. Rows without supervised tokens, such as the padding of the
    last distributed batch, count nowhere. Use `ExactBySegments` for accuracy against depth.

    Example:
        >>> metrics = ReasoningMetrics()
        >>> labels = torch.tensor([[0, 1], [1, -100]])
        >>> logits = torch.eye(2).expand(2, 2, 2)
        >>> metrics.update(logits, labels, torch.tensor([2, 4]), torch.tensor([True, True]))
        >>> {name: round(value.item(), 2) for name, value in metrics.compute().items()}
        {'token_accuracy': 0.67, 'exact_accuracy': 0.5, 'segments': 3.0,
         'halting_precision': 0.5, 'halting_recall': 1.0}
    """

    names: ClassVar = ("token_accuracy", "exact_accuracy", "segments", "halting_precision", "halting_recall")
    """What `compute` returns."""
    full_state_update = False
    is_differentiable = False
    tokens: Tensor
    tokens_right: Tensor
    rows: Tensor
    rows_right: Tensor
    spent: Tensor
    halted: Tensor
    halted_right: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("tokens", "tokens_right", "rows", "rows_right", "spent", "halted", "halted_right"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, labels: Tensor, segments: Tensor, halted: Tensor) -> None:
        """Count a batch.

        Args:
            logits: `(B, L, V)`.
            labels: `(B, L)` int64, `IGNORE` where not supervised.
            segments: Segments used, `(B,)` integer.
            halted: Whether the policy, not the cap, stopped the row, `(B,)` bool.
        """
        supervised = labels != IGNORE  # (B, L)
        hit = supervised & (logits.argmax(-1) == labels)
        valid = supervised.any(1)  # (B,)
        right = valid & (hit == supervised).all(1)
        stopped = valid & halted
        self.tokens += supervised.sum()
        self.tokens_right += hit.sum()
        self.rows += valid.sum()
        self.rows_right += right.sum()
        self.spent += segments.where(valid, 0).sum()
        self.halted += stopped.sum()
        self.halted_right += (stopped & right).sum()

    def compute(self) -> dict[str, Tensor]:
        """Return every ratio as a 0-d float32 tensor."""
        shares = (
            share(self.tokens_right, self.tokens),
            share(self.rows_right, self.rows),
            share(self.spent, self.rows),
            share(self.halted_right, self.halted),
            share(self.halted_right, self.rows_right),
        )
        return dict(zip(self.names, shares, strict=True))

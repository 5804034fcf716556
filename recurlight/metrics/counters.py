"""What is measured: counters that stay exact, reduce by sum over ranks, and never wait for the device."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from recurlight.errors import IncompatibleComponents
from recurlight.losses import exactly_right
from recurlight.metrics.shares import share
from recurlight.types import supervised

__all__ = ["AnswerMetrics", "NumberMetrics", "ReasoningMetrics", "table_points"]


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


class AnswerMetrics(Metric):
    """Accuracy of answers and of halting, over the rows that have a supervised label.

    - what a subclass counts in each row of its own kind: the share or the mean that `names` begins with;
    - `exact_accuracy`: rows right / rows;
    - `segments`: mean number of segments used;
    - `halting_precision`: rows halted and right / rows halted;
    - `halting_recall`: rows halted and right / rows right.

    Precision and recall rather than an accuracy of halting, because a policy that never halts agrees with
    every wrong answer. A ratio of nothing is 0. Rows without a supervised label, such as the padding of the
    last distributed batch, count nowhere.
    """

    names: ClassVar[tuple[str, ...]]
    """What `compute` returns, the subclass's own first."""
    sums_in: ClassVar[torch.dtype] = torch.int64
    """Of what the subclass's own counter `part` is."""
    full_state_update = False
    is_differentiable = False
    part: Tensor
    whole: Tensor
    rows: Tensor
    rows_right: Tensor
    spent: Tensor
    halted: Tensor
    halted_right: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("part", torch.zeros((), dtype=self.sums_in), dist_reduce_fx="sum")
        for name in ("whole", "rows", "rows_right", "spent", "halted", "halted_right"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @abstractmethod
    def measure(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """Return what is summed up of the labels that count, 0-d; `compute` divides it by their number.

        Args:
            logits: `(B, L, V)` or `(B, L, G)`.
            labels: `(B, L)` int64, or `(B, L, G)`.
            counts: Where labels are supervised, bool of their shape.
        """

    def update(
        self,
        logits: Tensor,
        labels: Tensor,
        segments: Tensor,
        halted: Tensor,
        right: Tensor | None = None,
    ) -> None:
        """Count a batch.

        Args:
            logits: `(B, L, V)`, or numbers `(B, L, G)`.
            labels: `(B, L)` int64, `IGNORE` where not supervised; or numbers `(B, L, G)`, NaN where not.
            segments: Segments used, `(B,)` integer.
            halted: Whether the policy, not the cap, stopped the row, `(B,)` bool.
            right: Whether each row is right, as `SequenceLoss.right` says, `(B,)` bool; None for tokens that
                are all as labelled.
        """
        counts = supervised(labels)
        valid = counts.flatten(1).any(1)  # (B,)
        right = valid & (exactly_right(logits, labels) if right is None else right)
        stopped = valid & halted
        self.part += self.measure(logits, labels, counts)
        self.whole += counts.sum()
        self.rows += valid.sum()
        self.rows_right += right.sum()
        self.spent += segments.where(valid, 0).sum()
        self.halted += stopped.sum()
        self.halted_right += (stopped & right).sum()

    def compute(self) -> dict[str, Tensor]:
        """Return every ratio as a 0-d float32 tensor."""
        shares = (
            share(self.part, self.whole),
            share(self.rows_right, self.rows),
            share(self.spent, self.rows),
            share(self.halted_right, self.halted),
            share(self.halted_right, self.rows_right),
        )
        return dict(zip(self.names, shares, strict=True))


class ReasoningMetrics(AnswerMetrics):
    """Accuracy of tokens, of whole answers and of halting, over the rows that have supervised tokens.

    - `token_accuracy`: right tokens / supervised tokens;
    - `exact_accuracy`: rows with every supervised token right / rows;
    - `segments`, `halting_precision` and `halting_recall` as `AnswerMetrics` says.

    Use `ExactBySegments` for accuracy against depth, and `NumberMetrics` for answers that are numbers.

    Example:
        >>> metrics = ReasoningMetrics()
        >>> labels = torch.tensor([[0, 1], [1, -100]])
        >>> logits = torch.eye(2).expand(2, 2, 2)
        >>> metrics.update(logits, labels, torch.tensor([2, 4]), torch.tensor([True, True]))
        >>> {name: round(value.item(), 2) for name, value in metrics.compute().items()}
        {'token_accuracy': 0.67, 'exact_accuracy': 0.5, 'segments': 3.0,
         'halting_precision': 0.5, 'halting_recall': 1.0}
    """

    names = ("token_accuracy", "exact_accuracy", "segments", "halting_precision", "halting_recall")

    def measure(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """Return the right tokens."""
        return (counts & (logits.argmax(-1) == labels)).sum()


class NumberMetrics(AnswerMetrics):
    """Error of numbers, accuracy of whole answers and of halting, over the rows that have supervised numbers.

    - `mean_absolute_error`: sum of `|output - label|` / supervised numbers;
    - `exact_accuracy`: rows that the loss says are right, such as those within its tolerance / rows;
    - `segments`, `halting_precision` and `halting_recall` as `AnswerMetrics` says.

    Use `ErrorBySegments` for the relative error against depth, and `ReasoningMetrics` for tokens.

    Example:
        >>> metrics, labels = NumberMetrics(), torch.tensor([[[3.0], [4.0]], [[1.0], [torch.nan]]])
        >>> outputs, right = torch.tensor([[[3.0], [4.5]], [[1.1], [9.0]]]), torch.tensor([True, False])
        >>> metrics.update(outputs, labels, torch.tensor([2, 4]), torch.tensor([True, True]), right)
        >>> {name: round(value.item(), 2) for name, value in metrics.compute().items()}
        {'mean_absolute_error': 0.2, 'exact_accuracy': 0.5, 'segments': 3.0,
         'halting_precision': 0.5, 'halting_recall': 1.0}
    """

    names = ("mean_absolute_error", "exact_accuracy", "segments", "halting_precision", "halting_recall")
    sums_in = torch.float32

    def measure(self, logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """Return the sum of the absolute errors."""
        return (logits - labels).where(counts, 0.0).abs().sum()

"""What validation and test measure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from recurlight.losses import SequenceLoss
from recurlight.metrics.counters import AnswerMetrics, NumberMetrics, ReasoningMetrics, table_points
from recurlight.metrics.shares import ErrorBySegments, ExactBySegments
from recurlight.metrics.task import TaskMetric
from recurlight.types import Batch, Prediction

__all__ = ["Evaluation", "Measured"]


class Measured(NamedTuple):
    """What one pass over a split came to, on all ranks together."""

    split: str
    """`val` or `test`."""
    puzzles: int
    """Rows that were counted."""
    figures: dict[str, float]
    """Every figure by name."""
    table: str
    """Exact accuracy after 1, 2, 4, ... segments, or what the task has in its place, as text."""


class Evaluation(nn.Module):
    """The metrics of one pass over held-out samples; their states are summed over ranks.

    Args:
        segments: Segments that evaluation runs; may be set between two passes.
        task: The data's own metric, None for none; it may also be set later.
        numbers: Measure answers that are numbers, not tokens.

    Example:
        >>> Evaluation(segments=16).points
        (1, 2, 4, 8, 16)
    """

    def __init__(self, segments: int, task: TaskMetric | None = None, numbers: bool = False) -> None:
        super().__init__()
        self.segments = segments
        self.exact = ExactBySegments()
        self.error = ErrorBySegments() if numbers else None
        self.reasoning: AnswerMetrics = NumberMetrics() if numbers else ReasoningMetrics()
        self.loss = MeanMetric()
        self.task = task

    @property
    def points(self) -> tuple[int, ...]:
        """Numbers of segments after which exact accuracy is measured."""
        return table_points(self.segments)

    def update(self, predictions: Iterator[Prediction], batch: Batch, loss: SequenceLoss) -> None:
        """Take in one batch.

        Args:
            predictions: As `Recursion.unroll` yields them; where they end early, the last one stands.
            batch: Questions and answers; rows without a supervised token are not counted.
            loss: Measured on the last prediction; says which answers are right.
        """
        labels = batch.labels
        for metric in self._by_segments():
            metric.judge, metric.log_probabilities = loss.right, loss.log_probabilities
        prediction = next(predictions)
        for count in range(1, self.segments + 1):
            if count > 1:
                prediction = next(predictions, prediction)
            for metric in self._by_segments() if count in self.points else ():
                if metric.every_point or count == self.segments:
                    metric.update(batch, prediction, count)
        right = loss.right(prediction.logits, labels)
        self.reasoning.update(prediction.logits, labels, prediction.segments, prediction.halted, right)
        self.loss.update(loss(prediction.logits, labels), batch.answered().float())

    def show_task(self, prediction: Prediction, batch: Batch, loss: SequenceLoss) -> None:
        """Take in one batch for the task's own metric alone, where something else measures the others.

        Args:
            prediction: The answers that count.
            batch: Questions and answers.
            loss: Says which answers are right.
        """
        if self.task is not None:
            self.task.judge, self.task.log_probabilities = loss.right, loss.log_probabilities
            self.task.update(batch, prediction, self.segments)

    def with_task(self, measured: Measured) -> Measured:
        """Add what the task's own metric has seen to other figures; every rank must call it."""
        if self.task is None:
            return measured
        own = {name: value.item() for name, value in self.task.compute().items()}
        table = "\n".join(filter(None, (measured.table, self.task.table())))
        return measured._replace(figures=measured.figures | own, table=table)

    def _by_segments(self) -> list[TaskMetric]:
        """Return what is measured after several numbers of segments."""
        return [metric for metric in (self.exact, self.error, self.task) if metric is not None]

    def compute(self) -> dict[str, Tensor]:
        """Return every figure by name, accuracies in 0..1.

        `exact_at_k` is the exact accuracy after `k` segments and `error_at_k`, of numbers, the relative
        error.
        """
        found = {"loss": self.loss.compute(), **self.reasoning.compute()}
        for metric in self._by_segments():
            found |= metric.compute()
        return found

    def figures(self) -> list[str]:
        """Return the names of the figures, as far as they are known before an evaluation."""
        own = [name for metric in self._by_segments() for name in metric.figures(self.points)]
        return ["loss", *self.reasoning.names, *own]

    def table(self) -> str:
        """Format exact accuracy and error by segments with what the task adds, or what it has alone."""
        shown = [self.task] if self.task is not None and self.task.alone else self._by_segments()
        return "\n".join(filter(None, (metric.table() for metric in shown)))

    def measured(self, split: str) -> Measured:
        """Return everything measured so far; every rank must call it, for it sums over them."""
        figures = {name: value.item() for name, value in self.compute().items()}
        with self.reasoning.sync_context():
            puzzles = int(self.reasoning.rows)
        return Measured(split, puzzles, figures, self.table())

    @torch.inference_mode(False)  # counters made in inference mode could not be added to in training
    def reset(self) -> None:
        """Forget every batch; the counters are new ones, which no other process shares."""
        for metric in (*self._by_segments(), self.reasoning, self.loss):
            metric.reset()

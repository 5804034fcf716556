"""What a task measures beside exact accuracy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from recurlight.losses import exactly_right
from recurlight.types import Batch, Prediction

__all__ = ["TaskMetric"]


class TaskMetric(Metric, ABC):
    """Figures of one task, such as whether a maze's path is valid; `PuzzleData.task_metric` supplies it.

    Declare counters with `add_state(..., dist_reduce_fx="sum")`, so that they are right over any number of
    ranks. Rows without a supervised label, which `Batch.answered` leaves out, are padding and must not be
    counted.
    """

    judge: Callable[[Tensor, Tensor], Tensor] = staticmethod(exactly_right)
    """Says which answers are right, `(logits, labels) -> (B,)` bool; evaluation sets the loss's `right`."""

    log_probabilities: Callable[[Tensor], Tensor] = staticmethod(partial(torch.log_softmax, dim=-1))
    """What logits say of each token, `(..., V)`; evaluation sets that of the loss."""

    every_point: ClassVar[bool] = False
    """Show the metric the prediction after 1, 2, 4, ... segments, not only the last."""

    alone: ClassVar[bool] = False
    """Print its table in place of exact accuracy, for a task in which no answer is right as a whole."""

    @abstractmethod
    def update(self, batch: Batch, prediction: Prediction, segments: int) -> None:
        """Take in one batch.

        Args:
            batch: Questions and answers, `(B, ...)`.
            prediction: Where each row stands.
            segments: After how many segments; the number that evaluation runs, unless `every_point`.
        """

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """Return the figures to log, by name, 0-d tensors."""

    def figures(self, points: Sequence[int]) -> list[str]:
        """Return the names of the figures, by which a callback that monitors another is refused at the start.

        Args:
            points: Numbers of segments after which answers are measured.
        """
        return []

    def table(self) -> str:
        """Return text to print under the table of exact accuracy, or in its place where it stands `alone`.

        Empty for none. Every rank calls it.
        """
        return ""

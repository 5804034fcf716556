"""Exact accuracy of groups of puzzles, such as lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recurlight.losses import exactly_right
from recurlight.metrics.task import TaskMetric
from recurlight.spec.given import checked
from recurlight.types import IGNORE, Batch, Prediction

__all__ = ["ExactByGroup"]

_POWERS = 32


class ExactByGroup(TaskMetric):
    """Exact accuracy of each group of puzzles after 1, 2, 4, ... segments: where more depth helps.

    `exact[g, s] = rows of group g right after s segments / rows of group g`, 0 where there are none. Return
    it from `PuzzleData.task_metric` to log the figures as `title_name/exact_at_s` and to print them as a
    table.

    Args:
        title: What tells the groups apart, such as `length`.
        names: Their names, `G` of them.
        group: Tells the group of each row of a batch, `(B,)` int64 from 0 to `G - 1`.

    Example:
        >>> metric = ExactByGroup("task", ["easy", "hard"], lambda batch: batch.task)
        >>> labels = torch.tensor([[0, 1], [1, 1], [0, 0]])
        >>> batch = Batch(labels, labels, torch.tensor([0, 0, 1]))
        >>> logits = torch.eye(2)[torch.tensor([[0, 1], [0, 0], [0, 0]])]
        >>> spent = torch.full((3,), 4)
        >>> metric.update(batch, Prediction(logits, spent, spent > 0, spent / 4), 4)
        >>> print(metric.table())
        exact accuracy by task after segments
        task           4
        easy       50.0%
        hard      100.0%
    """

    every_point = True
    full_state_update = False
    is_differentiable = False
    right: Tensor
    rows: Tensor

    @checked
    def __init__(self, title: str, names: Sequence[str], group: Callable[[Batch], Tensor]) -> None:
        super().__init__()
        self.title, self.names, self.group = title, tuple(names), group
        self.points: dict[int, int] = {}
        """Segments of each column that was filled; they are powers of two and at most one other number."""
        for name in ("right", "rows"):
            shape = (len(self.names), _POWERS + 1)
            self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, batch: Batch, prediction: Prediction, segments: int) -> None:
        """Count a batch after that many segments."""
        power = segments.bit_length() - 1
        column = power if segments == 1 << power else _POWERS
        self.points[column] = segments
        valid = (batch.labels != IGNORE).any(dim=1)
        right = valid & exactly_right(prediction.logits, batch.labels)
        group = self.group(batch)
        for state, rows in ((self.right, right), (self.rows, valid)):
            state[:, column].index_add_(0, group, rows.to(state.dtype))

    def compute(self) -> dict[str, Tensor]:
        """Return the accuracy of every group at every point, 0-d float32 tensors."""
        exact = self.right.float() / self.rows.float().clamp(min=1.0)
        return {
            f"{self.title}_{name}/exact_at_{segments}": exact[row, column]
            for row, name in enumerate(self.names)
            for column, segments in self.points.items()
        }

    def figures(self, points: Sequence[int]) -> list[str]:
        """Return a name for each group and number of segments."""
        return [f"{self.title}_{name}/exact_at_{count}" for name in self.names for count in points]

    def table(self) -> str:
        """Write a row for each group and a column for each number of segments."""
        figures = self.compute()
        width = max(8, len(self.title), *map(len, self.names))
        lines = [f"exact accuracy by {self.title} after segments"]
        lines.append(f"{self.title:{width}}" + "".join(f"{point:>8}" for point in self.points.values()))
        for name in self.names:
            shares = [figures[f"{self.title}_{name}/exact_at_{point}"] for point in self.points.values()]
            lines.append(f"{name:{width}}" + "".join(f"{f'{share.item():.1%}':>8}" for share in shares))
        return "\n".join(lines)

"""Exact accuracy of groups of puzzles, such as lengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recurlight.metrics.shares import SharesBySegments, table_line
from recurlight.spec.given import checked
from recurlight.types import Batch, Prediction

__all__ = ["ExactByGroup"]


class ExactByGroup(SharesBySegments):
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

    @checked
    def __init__(self, title: str, names: Sequence[str], group: Callable[[Batch], Tensor]) -> None:
        super().__init__(names)
        self.title, self.names, self.group = title, self.lines, group

    def count(self, batch: Batch, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Return the rows of each group that are right, and all of them, `(G,)` each."""
        valid = batch.answered()
        right = valid & self.judge(prediction.logits, batch.labels)
        group, none = self.group(batch), valid.new_zeros(len(self.lines), dtype=torch.int64)
        return none.index_add(0, group, right.long()), none.index_add(0, group, valid.long())

    def figure(self, line: str, segments: int) -> str:
        """Return the name of a figure, `title_name/exact_at_s`."""
        return f"{self.title}_{line}/exact_at_{segments}"

    def table(self) -> str:
        """Write a row for each group and a column for each number of segments."""
        width = max(8, len(self.title), *map(len, self.lines))
        head = table_line(self.title, [*self.points.values()], width)
        return "\n".join([f"exact accuracy by {self.title} after segments", head, *self.body(width)])

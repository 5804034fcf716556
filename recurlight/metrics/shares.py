"""Shares of rows against depth: one counter and one table for accuracy, groups and a task's own figures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from recurlight.losses import relative_error
from recurlight.metrics.task import TaskMetric
from recurlight.spec.given import checked, within
from recurlight.types import Batch, Prediction

__all__ = ["ErrorBySegments", "ExactBySegments", "SharesBySegments", "share", "table_line"]

_POWERS = 32


def share(part: Tensor, whole: Tensor) -> Tensor:
    """Divide counters in float32, 0 where there is nothing to count."""
    return part.float() / whole.float().clamp(min=1.0)


def table_line(label: str, cells: Sequence[object], width: int = 8) -> str:
    """Write a line of a table, its cells 8 wide."""
    return f"{label:{width}}" + "".join(f"{cell!s:>8}" for cell in cells)


class SharesBySegments(TaskMetric):
    """Shares of rows, one line for each thing that is counted, after 1, 2, 4, ... segments.

    `share[line, s] = rows that count for the line after s segments / rows of the line`, 0 where there are
    none. A subclass says in `count` which rows they are; the figures are called `line_at_s`.

    Counters are int64 and stand for every power of two of segments and one other number, so that their shape
    is known before the first batch, as the sum over ranks needs it.

    Args:
        lines: Names of what is counted, `G` of them.

    Example:
        >>> class Short(SharesBySegments):
        ...     def count(self, batch, prediction):
        ...         rows = torch.ones_like(batch.task).sum()
        ...         return (prediction.segments < 3).sum()[None], rows[None]
        >>> metric, tokens = Short(["short"]), torch.zeros(2, 1, dtype=torch.int64)
        >>> spent = torch.tensor([1, 4])
        >>> metric.update(Batch(tokens, tokens, spent), Prediction(tokens, spent, spent, spent), segments=4)
        >>> metric.compute(), metric.table()
        ({'short_at_4': tensor(0.5000)}, 'short      50.0%')
    """

    every_point = True
    full_state_update = False
    is_differentiable = False
    counts_in: ClassVar[torch.dtype] = torch.int64
    """Of what the shares are; float32 for sums that are no counts."""
    counted: Tensor
    rows: Tensor

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__()
        self.lines = tuple(lines)
        self.points: dict[int, int] = {}
        """Segments of each column that was filled."""
        for name, dtype in (("counted", self.counts_in), ("rows", torch.int64)):
            shape = (len(self.lines), _POWERS + 1)
            self.add_state(name, torch.zeros(shape, dtype=dtype), dist_reduce_fx="sum")

    @abstractmethod
    def count(self, batch: Batch, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Return the rows that count for each line, and the rows of each line, `(G,)` integers each.

        Rows without a supervised label are padding and must not be counted.
        """

    def figure(self, line: str, segments: int) -> str:
        """Return the name of a figure."""
        return f"{line}_at_{segments}"

    @checked
    def update(self, batch: Batch, prediction: Prediction, segments: int) -> None:
        """Count a batch after that many segments.

        Raises:
            IncompatibleComponents: The segments are below 1.
        """
        within(f"{type(self).__name__}.update", "segments", segments, 1)
        power = segments.bit_length() - 1
        column = power if segments == 1 << power else _POWERS
        self.points[column] = segments
        counted, rows = self.count(batch, prediction)
        self.counted[:, column] += counted
        self.rows[:, column] += rows

    def compute(self) -> dict[str, Tensor]:
        """Return the share of every line at every point, 0-d float32 tensors."""
        shares = share(self.counted, self.rows)
        return {
            self.figure(line, segments): shares[row, column]
            for row, line in enumerate(self.lines)
            for column, segments in self.points.items()
        }

    def reset(self) -> None:
        """Forget every batch, and after how many segments it was counted."""
        super().reset()
        self.points = {}

    def figures(self, points: Sequence[int]) -> list[str]:
        """Return a name for each line and number of segments."""
        return [self.figure(line, count) for line in self.lines for count in points]

    def table(self) -> str:
        """Return a line of text for each share, under the columns of exact accuracy."""
        return "\n".join(self.body())

    def body(self, width: int = 8) -> list[str]:
        """Return the lines of a table, without a header.

        Args:
            width: Characters of the first column.
        """
        found = self.compute()
        points = self.points.values()
        shares = {line: [found[self.figure(line, point)].item() for point in points] for line in self.lines}
        return [table_line(line, [f"{one:.1%}" for one in shares[line]], width) for line in self.lines]


class ExactBySegments(SharesBySegments):
    """Exact accuracy after several numbers of segments: what more depth at test time buys.

    `exact_at_s = rows right after s segments / rows`; which are right, the loss says, of tokens all of them

    Example:
        >>> metric, labels = ExactBySegments(), torch.tensor([[0, 1], [1, 1]])
        >>> batch, spent = Batch(labels, labels, labels[:, 0]), torch.full((2,), 4)
        >>> logits = torch.eye(2)[torch.tensor([[0, 1], [0, 0]])]
        >>> metric.update(batch, Prediction(logits, spent, spent > 0, spent / 4), segments=4)
        >>> print(metric.table())
        exact accuracy after segments
        segments       4
        exact      50.0%
    """

    def __init__(self) -> None:
        super().__init__(["exact"])

    def count(self, batch: Batch, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Return the rows that are right, and all but padding, `(1,)` each."""
        valid = batch.answered()
        right = valid & self.judge(prediction.logits, batch.labels)
        return right.sum()[None], valid.sum()[None]

    def table(self) -> str:
        """Return the table with its two lines of header."""
        head = table_line("segments", [*self.points.values()])
        return "\n".join(["exact accuracy after segments", head, *self.body()])


class ErrorBySegments(SharesBySegments):
    """Relative L2 error of answers that are numbers, after several numbers of segments.

    `error_at_s = mean over rows of |output - label| / |label| after s segments`, each norm over the
    supervised numbers of a row. Rows whose labels are all 0 have no relative error and are left out.

    Example:
        >>> metric, labels = ErrorBySegments(), torch.tensor([[[3.0], [4.0]], [[1.0], [torch.nan]]])
        >>> task = torch.zeros(2, dtype=torch.int64)
        >>> found = Prediction(torch.tensor([[[3.0], [4.5]], [[1.1], [9.0]]]), task, task > 0, task / 1)
        >>> metric.update(Batch(labels, labels, task), found, segments=4)
        >>> print(metric.table())
        error      10.0%
    """

    counts_in = torch.float32

    def __init__(self) -> None:
        super().__init__(["error"])

    def count(self, batch: Batch, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Return the sum of the errors, and the rows that have one, `(1,)` each."""
        counts = (batch.labels.nan_to_num() != 0).flatten(1).any(dim=1)
        errors = relative_error(prediction.logits, batch.labels).where(counts, 0.0)
        return errors.sum()[None].float(), counts.sum()[None]

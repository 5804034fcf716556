"""What a search is measured by, over all batches and ranks."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from recurlight.losses import SequenceLoss
from recurlight.metrics.counters import table_points
from recurlight.search.base import picked
from recurlight.search.found import Found
from recurlight.search.report import SearchReport, Width, covered
from recurlight.search.search import Search
from recurlight.types import Batch

__all__ = ["SearchMetric"]


class SearchMetric(Metric):
    """Accuracy, pass@k and confidence of a search at 1, 2, 4, ... chains; rows without a label do not count.

    What the first `k` chains would have come to is replayed, so that one search tells of every narrower one.

    Args:
        search: The search.

    Example:
        >>> SearchMetric(Search(width=8, noise=0.3)).points
        (1, 2, 4, 8)
    """

    full_state_update = False
    is_differentiable = False
    rows: list[Tensor]

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search, self.points = search, table_points(search.width)
        self.add_state("rows", [], dist_reduce_fx="cat")  # (n, P, 5) of each batch

    def update(self, found: Found, batch: Batch, loss: SequenceLoss) -> None:
        """Take in one batch.

        Args:
            found: What the search found.
            batch: Questions and answers.
            loss: Says which answers are right.
        """
        answers = found.chains.logits.unbind(dim=1)
        right = torch.stack([loss.right(each, batch.labels) for each in answers], dim=1)  # (B, K)
        parts = [
            self._row(found.first(width, self.search.chooser), right[:, :width]) for width in self.points
        ]
        self.rows.append(torch.stack(parts, dim=1)[batch.answered()])

    @staticmethod
    def _row(found: Found, right: Tensor) -> Tensor:
        """Return what counts of each row, `(B, 5)`."""
        fields = found.segments, found.updates, picked(right, found.chain), right.any(dim=1), found.confidence
        return torch.stack([field.float() for field in fields], dim=1)

    def compute(self) -> Tensor:
        """Return what counts of each row of all ranks at each number of chains, `(n, P, 5)`."""
        return dim_zero_cat(self.rows) if len(self.rows) else torch.zeros(0, len(self.points), 5)

    def report(self) -> SearchReport:
        """Return the report of all ranks; every rank must call it."""
        rows = self.compute().cpu()
        means = rows.double().mean(dim=0).nan_to_num().tolist()
        widths = [Width(width, *mean) for width, mean in zip(self.points, means, strict=True)]
        right, sure = rows[:, -1, 2] > 0, rows[:, -1, 4]
        return SearchReport(repr(self.search), len(rows), widths, *covered(sure, right))

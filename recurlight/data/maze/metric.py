"""What mazes measure beside exact accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurlight.data.maze.rules import drawn_steps, shortest_steps
from recurlight.metrics.task import TaskMetric
from recurlight.types import IGNORE, Batch, Prediction

__all__ = ["MazePaths"]

_POINTS = 64
"""Room for the numbers of segments that a table may show: 1, 2, 4, ..., and the last."""


class MazePaths(TaskMetric):
    """Shares of mazes in which the predicted cells are a path, and in which it is a shortest one.

    - `valid_path`: the question's walls, start and goal are unchanged, and the predicted path cells are one
      path from start to goal that does not touch itself;
    - `optimal_path`: valid, and no path is shorter.

    Exact accuracy asks for the path in the file. Where a maze has several shortest paths, all of them are
    optimal and only one is exact; so this is the figure to compare. Paths are searched on the CPU.

    Example:
        >>> maze = torch.tensor([[3, 2, 2, 4]])
        >>> batch = Batch(maze, torch.tensor([[3, 5, 2, 4]]), torch.tensor([0]))
        >>> other = torch.eye(6)[torch.tensor([[3, 2, 5, 4]])]
        >>> metric = MazePaths()
        >>> metric.update(batch, Prediction(other, batch.task, batch.task, batch.task), segments=1)
        >>> {name: value.item() for name, value in metric.compute().items()}
        {'valid_path': 1.0, 'valid_path_at_1': 1.0, 'optimal_path': 1.0, 'optimal_path_at_1': 1.0}
    """

    every_point = True
    full_state_update = False
    rows: Tensor
    valid: Tensor
    optimal: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("rows", "valid", "optimal"):
            self.add_state(name, torch.zeros(_POINTS, dtype=torch.int64), dist_reduce_fx="sum")
        self.points: list[int] = []

    def update(self, batch: Batch, prediction: Prediction, segments: int) -> None:
        """Count a batch after so many segments."""
        if segments not in self.points:
            self.points.append(segments)
        place = self.points.index(segments)
        counted = (batch.labels != IGNORE).any(dim=1)
        questions = batch.inputs[counted].cpu().numpy()
        steps = drawn_steps(questions, prediction.logits[counted].argmax(dim=-1).cpu().numpy())
        valid = steps >= 0
        self.rows[place] += len(valid)
        self.valid[place] += int(valid.sum())
        self.optimal[place] += int((steps[valid] == shortest_steps(questions[valid])).sum())

    def compute(self) -> dict[str, Tensor]:
        """Return both shares after all segments, and after `k` under names that end in `_at_k`."""
        whole = self.rows.float().clamp(min=1.0)
        figures = {}
        for name, count in (("valid_path", self.valid), ("optimal_path", self.optimal)):
            shares = count.float() / whole
            figures[name] = shares[max(len(self.points) - 1, 0)]
            figures |= {f"{name}_at_{point}": shares[place] for place, point in enumerate(self.points)}
        return figures

    def figures(self, points: Sequence[int]) -> list[str]:
        """Return the names of both shares, alone and after each number of segments."""
        at = ("", *(f"_at_{count}" for count in points))
        return [f"{name}{end}" for name in ("valid_path", "optimal_path") for end in at]

    def table(self) -> str:
        """Return a line for each share, under the columns of exact accuracy."""
        figures = self.compute()
        lines = []
        for name in ("valid", "optimal"):
            shares = (figures[f"{name}_path_at_{point}"] for point in self.points)
            lines.append(f"{name:8}" + "".join(f"{f'{share:.1%}':>8}" for share in map(float, shares)))
        return "\n".join(lines)

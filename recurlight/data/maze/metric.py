"""What mazes measure beside exact accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurlight.data.maze.rules import drawn_steps, shortest_steps
from recurlight.metrics.shares import SharesBySegments
from recurlight.types import IGNORE, Batch, Prediction

__all__ = ["MazePaths"]


class MazePaths(SharesBySegments):
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
        {'valid_path': 1.0, 'optimal_path': 1.0, 'valid_path_at_1': 1.0, 'optimal_path_at_1': 1.0}
    """

    def __init__(self) -> None:
        super().__init__(["valid", "optimal"])

    def count(self, batch: Batch, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Return the valid and the optimal paths, and all mazes, `(2,)` each."""
        counted = (batch.labels != IGNORE).any(dim=1)
        questions = batch.inputs[counted].cpu().numpy()
        steps = drawn_steps(questions, prediction.logits[counted].argmax(dim=-1).cpu().numpy())
        valid = steps >= 0
        optimal = int((steps[valid] == shortest_steps(questions[valid])).sum())
        counted, rows = torch.tensor([[int(valid.sum()), optimal], [len(valid)] * 2]).to(self.rows.device)
        return counted, rows

    def figure(self, line: str, segments: int) -> str:
        """Return the name of a figure, such as `valid_path_at_4`."""
        return f"{line}_path_at_{segments}"

    def compute(self) -> dict[str, Tensor]:
        """Return both shares after all segments, and after `k` under names that end in `_at_k`."""
        found = super().compute()
        last = max(self.points.values(), default=1)
        none = torch.zeros(())
        return {f"{line}_path": found.get(self.figure(line, last), none) for line in self.lines} | found

    def figures(self, points: Sequence[int]) -> list[str]:
        """Return the names of both shares, alone and after each number of segments."""
        return [*(f"{line}_path" for line in self.lines), *super().figures(points)]

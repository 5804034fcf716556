"""One level: the answer is the whole state."""

from __future__ import annotations

from torch import Tensor, nn

from recurlight.refiners.base import Refiner, StartVector
from recurlight.refiners.levels import SingleState

__all__ = ["SingleRefiner", "SingleState"]


class SingleRefiner(Refiner[SingleState]):
    """The answer is refined alone: `answer = cell(answer + injection)`.

    The Universal Transformer, URM, equilibrium models and, with one cycle, feed-forward baselines. Prefer
    `TwoLevelRefiner` where a separate latent helps, as on Sudoku.

    Args:
        cell: Network from `(B, N, D)` to `(B, N, D)`.

    Example:
        >>> import torch
        >>> refiner = SingleRefiner(nn.Tanh())
        >>> state = SingleState(torch.zeros(2, 4, 8))
        >>> refiner.update(state, torch.ones(2, 4, 8), "answer").answer.shape
        torch.Size([2, 4, 8])

    Reference:
        Dehghani et al. 2018, "Universal transformers" (arXiv:1807.03819).
    """

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell
        self.answer_start = StartVector()

    def cells(self) -> dict[str, nn.Module]:
        """The one cell updates the answer."""
        return {"answer": self.cell}

    def schedule(self) -> tuple[str, ...]:
        """One update of the answer."""
        return ("answer",)

    def initial_state(self, injection: Tensor) -> SingleState:
        """Start at a fixed random vector."""
        return SingleState(self.answer_start(injection))

    def update(self, state: SingleState, injection: Tensor, level: str) -> SingleState:
        """Apply the cell to the answer and the question."""
        return state._replace(answer=self.cell_of(level)(state.answer + injection))

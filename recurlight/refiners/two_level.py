"""Two levels: a latent that works, an answer that sums up."""

from __future__ import annotations

from torch import Tensor, nn

from recurlight.refiners.base import StartVector
from recurlight.refiners.levels import LatentAndAnswer, TwoLevelState

__all__ = ["TwoLevelRefiner", "TwoLevelState"]


class TwoLevelRefiner(LatentAndAnswer):
    """Each cycle refines the latent several times given question and answer, then the answer once.

    `latent = cell_latent(latent + answer + injection)`, `latent_steps` times, then
    `answer = cell_answer(answer + latent)`

    The refiner of HRM (two cells: two frequencies) and of TRM (one shared cell).

    Args:
        latent: Network of the latent, `(B, N, D)` to `(B, N, D)`.
        answer: Network of the answer, or None to share the latent's.
        latent_steps: Latent updates in one cycle; TRM 6, HRM 2.

    Raises:
        IncompatibleComponents: `latent_steps` is below 1.

    Example:
        >>> TwoLevelRefiner(nn.Tanh(), latent_steps=2).schedule()
        ('latent', 'latent', 'answer')

    Reference:
        HRM (arXiv:2506.21734), section 2; TRM (arXiv:2510.04871), section 4.
    """

    def __init__(self, latent: nn.Module, answer: nn.Module | None = None, latent_steps: int = 6) -> None:
        super().__init__(latent, answer, latent_steps)
        self.answer_start = StartVector()
        self.latent_start = StartVector()

    def initial_state(self, injection: Tensor) -> TwoLevelState:
        """Start both levels at fixed random vectors."""
        return TwoLevelState(self.answer_start(injection), self.latent_start(injection))

    def update(self, state: TwoLevelState, injection: Tensor, level: str) -> TwoLevelState:
        """Refine the latent given answer and question, or the answer given the latent."""
        cell = self.cell_of(level)
        if level == "latent":
            # the order of the published additions, so that rounding agrees too
            return state._replace(latent=cell(state.latent + (state.answer + injection)))
        return state._replace(answer=cell(state.answer + state.latent))

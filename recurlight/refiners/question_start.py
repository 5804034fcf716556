"""Two levels, of which the answer begins as the question."""

from __future__ import annotations

from torch import Tensor, nn

from recurlight.refiners.base import StartVector
from recurlight.refiners.levels import LatentAndAnswer, TwoLevelState

__all__ = ["QuestionStartRefiner"]


class QuestionStartRefiner(LatentAndAnswer):
    """The answer starts at the question, which no update reads again.

    `answer = injection` at the start; in each cycle `latent = cell_latent(latent + answer)`, `latent_steps`
    times, then `answer = cell_answer(answer + latent)`

    The refiner of HRM-Text, with one segment. The encoder has no gradient but through the start, so the
    window must reach back to it: through every update of the answer, as `LastPerLevel({"latent": 1,
    "answer": cycles})` does, or through all. Others are refused. Where a sample gets several segments, only
    the first teaches the encoder, for the later ones begin at a carry without gradient; prefer
    `TwoLevelRefiner` there, and where the question must not be forgotten.

    Args:
        latent: Network of the latent, `(B, N, D)` to `(B, N, D)`.
        answer: Network of the answer, or None to share the latent's.
        latent_steps: Latent updates in one cycle; HRM-Text 3.

    Raises:
        IncompatibleComponents: `latent_steps` is below 1.

    Example:
        >>> import torch
        >>> refiner = QuestionStartRefiner(nn.Identity(), latent_steps=2)
        >>> ones = torch.ones(1, 4, 8)
        >>> state = refiner.cycle(TwoLevelState(answer=ones, latent=ones), torch.zeros(1, 4, 8))
        >>> state.answer[0, 0, 0]
        tensor(4.)

    Reference:
        HRM-Text (arXiv:2605.20613), whose published model has two networks of their own.
    """

    def __init__(self, latent: nn.Module, answer: nn.Module | None = None, latent_steps: int = 3) -> None:
        super().__init__(latent, answer, latent_steps)
        self.latent_start = StartVector()

    def initial_state(self, injection: Tensor) -> TwoLevelState:
        """Start the answer at the question, with its gradient, and the latent at a fixed random vector."""
        return TwoLevelState(injection, self.latent_start(injection))

    def update(self, state: TwoLevelState, injection: Tensor, level: str) -> TwoLevelState:
        """Refine either level given both."""
        return state._replace(**{level: self.cell_of(level)(state.latent + state.answer)})

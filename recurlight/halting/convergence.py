"""Stop when the answer stops changing."""

from __future__ import annotations

import torch
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.halting.base import Halting
from recurlight.numerics import full_precision, relative_change
from recurlight.spec.given import checked
from recurlight.types import Outcome, Segment

__all__ = ["ConvergenceHalting", "relative_change"]


class ConvergenceHalting(Halting):
    """Stop when one segment changes the answer by less than a tolerance, relative to its norm.

    `score = -log10(||answer - before|| / ||answer||)`, stop when `score > -log10(tolerance)`

    For equilibrium models. States of chaotic recursions never settle: use `CorrectnessHalting` there.

    Args:
        tolerance: Relative change below which a slot stops, above 0.

    Raises:
        IncompatibleComponents: The tolerance is not positive.

    Example:
        >>> halting = ConvergenceHalting(tolerance=0.1)
        >>> before, after = torch.ones(1, 4, 8), torch.ones(1, 4, 8) * 1.01
        >>> score = halting.score(Segment(before, after, torch.zeros(1, 4, 6)))
        >>> halting.should_halt(score, torch.tensor([1]))
        tensor([True])
    """

    def __init__(self, tolerance: float = 1e-2) -> None:
        super().__init__()
        if not tolerance > 0:
            raise IncompatibleComponents(
                f"ConvergenceHalting needs a tolerance above 0, not {tolerance}: "
                "set model.halting.init_args.tolerance, for example to 0.01"
            )
        self.tolerance = tolerance

    @checked
    def score(self, segment: Segment) -> Tensor:
        """Return the digits that the answer kept, `(B, 1)`."""
        with torch.no_grad(), full_precision(segment.answer):
            change = relative_change(segment.before, segment.answer)
            return -change.clamp_min(torch.finfo(change.dtype).tiny).log10().unsqueeze(1)

    @checked
    def should_halt(self, score: Tensor, age: Tensor) -> Tensor:
        """Stop where the change is below the tolerance."""
        return 10 ** -score[:, 0] < self.tolerance

    @checked
    def loss(self, score: Tensor, outcome: Outcome) -> Tensor:
        """Return zeros, `(B,)`."""
        return score.new_zeros(score.shape[0])

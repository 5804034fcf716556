"""One level, into which the question enters in a way to choose."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from recurlight import draw
from recurlight.refiners.base import Refiner, StartVector
from recurlight.refiners.injection import Injection
from recurlight.refiners.levels import SingleState
from recurlight.spec.given import within

__all__ = ["InjectedRefiner"]


class InjectedRefiner(Refiner[SingleState]):
    """The answer is refined alone, and how the question enters an update is a part to choose.

    `answer = cell(inject(answer, injection))`

    With `ProjectedInjection` and noise it is the recurrence of Huginn, with `DecayInjection` that of Parcae,
    and with `AddedInjection` and no noise it is `SingleRefiner`. Where each sample draws its own start, what
    is learnt depends less on where it begins; evaluation draws one, too. The cycle is the same map every
    time, so that fixed-point gradients accept it.

    Args:
        cell: Network from `(B, N, D)` to `(B, N, D)`.
        inject: How the question enters.
        sigma: Standard deviation of the noise at which a sample starts, 0 or more, cut at three of it; Huginn
            0.63, the root of 2/5. 0 is a fixed random vector.

    Raises:
        IncompatibleComponents: `sigma` is below 0.

    Example:
        >>> import torch
        >>> from recurlight import AddedInjection
        >>> refiner = InjectedRefiner(nn.Tanh(), AddedInjection(), sigma=0.5)
        >>> state = refiner.initial_state(torch.ones(2, 4, 8))
        >>> bool(state.answer.abs().max() <= 1.5)
        True

    Reference:
        Huginn (arXiv:2502.05171), section 3.2; Parcae (arXiv:2604.12946).
    """

    def __init__(self, cell: nn.Module, inject: Injection, sigma: float = 0.0) -> None:
        super().__init__()
        within("InjectedRefiner", "sigma", sigma, 0)
        self.cell, self.inject, self.sigma = cell, inject, sigma
        self.answer_start = NoiseStart(sigma) if sigma else StartVector()

    def cells(self) -> dict[str, nn.Module]:
        """The one cell updates the answer."""
        return {"answer": self.cell}

    def schedule(self) -> tuple[str, ...]:
        """One update of the answer."""
        return ("answer",)

    def initial_state(self, injection: Tensor) -> SingleState:
        """Start at noise, or at a fixed random vector where `sigma` is 0."""
        return SingleState(self.answer_start(injection))

    def update(self, state: SingleState, injection: Tensor, level: str) -> SingleState:
        """Let the question in, and apply the cell."""
        return state._replace(answer=self.cell_of(level)(self.inject(state.answer, injection)))


class NoiseStart(nn.Module):
    """Normal noise at which a sample starts, cut at three sigma; each slot draws its own.

    Args:
        sigma: Standard deviation before the cut.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, injection: Tensor) -> Tensor:
        """Draw `(B, N, D)` in the dtype of the injection; float32 decides, so that others draw the same."""
        even = draw.uniform(torch.empty_like(injection, dtype=torch.float32))
        inside = math.erf(3 / math.sqrt(2))  # of a normal, within three sigma
        noise = self.sigma * math.sqrt(2) * torch.erfinv(inside * (2 * even - 1))
        return noise.to(injection.dtype)

"""How the question enters an update: added, projected, or added to what a learned decay leaves."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurlight.numerics import linear
from recurlight.spec.given import within
from recurlight.types import Sized, Sizes

__all__ = ["AddedInjection", "DecayInjection", "Injection", "ProjectedInjection"]


class Injection(Sized):
    """How the question enters an update, before the cell: write `build` and `forward`.

    Example:
        >>> class Gated(Injection):
        ...     def build(self, sizes, generator):
        ...         self.gate = nn.Parameter(torch.zeros(sizes.width))
        ...
        ...     def forward(self, level, injection):
        ...         return torch.lerp(level, injection, torch.sigmoid(self.gate).to(level.dtype))
        >>> gated = Gated()
        >>> gated.bind(Sizes(vocab=6, tokens=1, width=1), torch.Generator())
        >>> gated(torch.zeros(1, 1, 1), torch.ones(1, 1, 1)).item()
        0.5
    """

    @abstractmethod
    def forward(self, level: Tensor, injection: Tensor) -> Tensor:
        """Return what the cell is given.

        Args:
            level: Level that is updated, `(B, N, D)`.
            injection: Encoded question, `(B, N, D)`.

        Returns:
            `(B, N, D)` in the dtype of the level.
        """


class AddedInjection(Injection):
    """`level + injection`: nothing is learnt; the published way of HRM, TRM and URM.

    Example:
        >>> AddedInjection()(torch.ones(1, 1, 1), torch.ones(1, 1, 1)).item()
        2.0

    Reference:
        URM (arXiv:2512.14693); Universal Transformers (arXiv:1807.03819) add positions so.
    """

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """There is nothing to make."""

    def forward(self, level: Tensor, injection: Tensor) -> Tensor:
        """Add the two."""
        return level + injection


class ProjectedInjection(Injection):
    """`W [level, injection]`: both are concatenated and projected to the width, without bias.

    What is kept of the level is learnt, at the cost of `2 D^2` weights in each update; nothing bounds it.
    `DecayInjection` does.

    Example:
        >>> inject = ProjectedInjection()
        >>> inject.bind(Sizes(vocab=6, tokens=4, width=8), torch.Generator().manual_seed(0))
        >>> inject(torch.zeros(2, 4, 8), torch.ones(2, 4, 8)).shape
        torch.Size([2, 4, 8])

    Reference:
        Huginn (arXiv:2502.05171), section 3.2, "adapter".
    """

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the projection, `(D, 2 D)`, which keeps the scale of its input."""
        self.project = linear(2 * sizes.width, sizes.width, generator)

    def forward(self, level: Tensor, injection: Tensor) -> Tensor:
        """Concatenate and project."""
        mixed: Tensor = self.project(torch.cat([level, injection], dim=-1))
        return mixed


class DecayInjection(Injection):
    """The level decays channel by channel, at a learned rate, before the question is added.

    `exp(-step * rate) * level + step * (W injection)` with `step = softplus(s)` and `rate = exp(r)`, each
    `(D,)`: a linear system whose eigenvalues are between 0 and 1 whatever is learnt, so that the path around
    the cell cannot grow. `W` starts as the identity, `rate` at 1.

    Weight decay draws `s` and `r` to 0: leave the part out of it, `model.optimizer_groups: [{parts:
    [refiner.inject], weight_decay: 0}]`, as the authors do.

    Args:
        retention: Share of the level that is kept at first, above 0 and at most 0.999; Parcae 0.447, the root
            of 1/5.

    Raises:
        IncompatibleComponents: `retention` is out of range.

    Example:
        >>> inject = DecayInjection(retention=0.5)
        >>> inject.bind(Sizes(vocab=6, tokens=1, width=1), torch.Generator())
        >>> round(inject(torch.ones(1, 1, 1), torch.zeros(1, 1, 1)).item(), 4)
        0.5

    Reference:
        Parcae (arXiv:2604.12946), "discretization of a negative diagonal parameterization".
    """

    def __init__(self, retention: float = 0.447) -> None:
        super().__init__()
        within("DecayInjection", "retention", retention, above=0, most=0.999)
        self.retention = retention

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make rates, steps and the map of the question; nothing is drawn."""
        step = -math.log(self.retention)
        raw = step + math.log(-math.expm1(-step))  # softplus brings it back
        self.raw_step = nn.Parameter(torch.full((sizes.width,), raw))
        self.log_rate = nn.Parameter(torch.zeros(sizes.width))
        self.enter = nn.Linear(sizes.width, sizes.width, bias=False, device="meta")
        self.enter.weight = nn.Parameter(torch.eye(sizes.width))

    def forward(self, level: Tensor, injection: Tensor) -> Tensor:
        """Decay and add, in the precision of the weights: bfloat16 rounds a slow decay to none."""
        step = functional.softplus(self.raw_step)
        kept = torch.exp(-step * self.log_rate.exp()) * level
        entered: Tensor = step * self.enter(injection)
        return (kept + entered).to(level.dtype)

"""States of one and of two levels, and what all refiners of two levels share."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.refiners.base import Refiner

__all__ = ["LatentAndAnswer", "SingleState", "TwoLevelState"]


class SingleState(NamedTuple):
    """State of refiners whose answer is all that there is, as `SingleRefiner`.

    Attributes:
        answer: Answer, `(B, N, D)`.
    """

    answer: Tensor


class TwoLevelState(NamedTuple):
    """State of refiners of two levels, as `TwoLevelRefiner`.

    Attributes:
        answer: Answer, `(B, N, D)`: z_H in HRM, y in TRM.
        latent: Latent, `(B, N, D)`: z_L in HRM, z in TRM.
    """

    answer: Tensor
    latent: Tensor


class LatentAndAnswer(Refiner[TwoLevelState]):
    """Each cycle updates the latent several times, then the answer once; starts and updates are open.

    Args:
        latent: Network of the latent, `(B, N, D)` to `(B, N, D)`.
        answer: Network of the answer, or None to share the latent's.
        latent_steps: Latent updates in one cycle.

    Raises:
        IncompatibleComponents: `latent_steps` is below 1.
    """

    adjustable = ("latent_steps",)

    def __init__(self, latent: nn.Module, answer: nn.Module | None, latent_steps: int) -> None:
        super().__init__()
        if latent_steps < 1:
            raise IncompatibleComponents(
                f"{type(self).__name__} needs latent_steps of at least 1, not {latent_steps}: "
                "raise it, or use SingleRefiner, which has no latent"
            )
        self.latent = latent
        self.answer = answer
        self.latent_steps = latent_steps

    def cells(self) -> dict[str, nn.Module]:
        """The latent's cell, and the answer's own or the same one."""
        return {"latent": self.latent, "answer": self.latent if self.answer is None else self.answer}

    def schedule(self) -> tuple[str, ...]:
        """`latent_steps` updates of the latent, then one of the answer."""
        return ("latent",) * self.latent_steps + ("answer",)

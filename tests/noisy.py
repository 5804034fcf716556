"""Parts that draw by the rule, in every way that a paper has: starts, updates, dropout and windows."""

from __future__ import annotations

from dataclasses import dataclass

from helpers import mixer
from torch import Tensor, nn

from recurlight import GradientWindow, TwoLevelRefiner, TwoLevelState, draw


class Noisy(TwoLevelRefiner):
    """Starts anywhere, and adds noise to every update, in evaluation too."""

    stationary = False

    def initial_state(self, injection: Tensor) -> TwoLevelState:
        return TwoLevelState(*(draw.normal(injection) for _ in range(2)))

    def update(self, state: TwoLevelState, injection: Tensor, level: str) -> TwoLevelState:
        return super().update(state, injection + 0.1 * draw.normal(injection), level)


@dataclass(frozen=True)
class DrawnWindow(GradientWindow):
    """Carry gradient through the last updates of a segment, `least` of them or more."""

    least: int = 2

    def mask(self, schedule: tuple[str, ...], cycles: int) -> tuple[bool, ...]:
        total = len(schedule) * cycles
        count = draw.number(self.least, total + 1)
        return (False,) * (total - count) + (True,) * count


def noisy() -> Noisy:
    """A refiner that draws in every way."""
    return Noisy(nn.Sequential(draw.Dropout(0.2), mixer()), latent_steps=2)

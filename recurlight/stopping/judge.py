"""Stopping by what a halting policy has learnt about its own answers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.halting.base import Halting, judges
from recurlight.stopping.base import Seen, Stopping, require_share
from recurlight.types import Sizes

__all__ = ["AsTrained", "ConfidentJudge"]


@dataclass(frozen=True)
class ConfidentJudge(Stopping):
    """Stop when the halting policy is sure that the answer is right.

    `stop where confidence > threshold`

    For models that learnt to judge themselves, with `CorrectnessHalting` or `QLearningHalting`. In training a
    slot goes on as soon as right is likelier than wrong; in evaluation such haste costs accuracy.
    `recurlight calibrate` finds the threshold for a loss that you allow.

    Args:
        threshold: Confidence above which a row stops, from 0 to 1, where nothing stops.

    Raises:
        IncompatibleComponents: The threshold is out of range, or the policy does not judge.

    Example:
        >>> ConfidentJudge(threshold=0.95)
        ConfidentJudge(threshold=0.95)

    Reference:
        TRM (arXiv:2510.04871), section 4.6, for the judge.
    """

    threshold: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        require_share("ConfidentJudge", self.threshold)

    def check(self, halting: Halting, sizes: Sizes) -> None:
        """Refuse a policy that does not judge."""
        if not judges(halting):
            raise IncompatibleComponents(
                f"{type(halting).__name__} does not judge its answers, so ConfidentJudge would never stop: "
                "set model.eval_halting to StableAnswer"
            )

    def look(self, seen: Seen, memory: None) -> tuple[Tensor, None]:
        """Compare the confidence with the threshold."""
        return seen.confidence > self.threshold, None


@dataclass(frozen=True)
class AsTrained(Stopping):
    """Stop when the halting policy says so, as slots do in training.

    `stop where should_halt(score)`

    It is the quickest rule of learnt policies and costs accuracy; use it to compare with published figures of
    adaptive evaluation. A `FixedHalting` model never stops by it.

    Example:
        >>> AsTrained()
        AsTrained()

    Reference:
        HRM (arXiv:2506.21734), section 2, "Adaptive computational time".
    """

    def look(self, seen: Seen, memory: None) -> tuple[Tensor, None]:
        """Do as the policy says."""
        return seen.halts, None

"""The rule of models that are given none."""

from __future__ import annotations

from recurlight.halting.base import Halting, judges
from recurlight.spec.given import checked
from recurlight.stopping.answer import StableAnswer
from recurlight.stopping.base import Stopping
from recurlight.stopping.joined import Both
from recurlight.stopping.judge import AsTrained, ConfidentJudge

__all__ = ["usual_stopping"]


@checked
def usual_stopping(halting: Halting) -> Stopping:
    """Return the rule by which a model stops that is given no other: one that is not to cost accuracy.

    Where the policy judges its answers, the answer has to stay the same for a segment while the judge is 90 %
    sure. Alone either is wrong at times: a model in the middle of its training settles on wrong answers, and
    a judge may be hasty. Other policies stop as they say, so `FixedHalting` never.

    Args:
        halting: The policy of training.

    Example:
        >>> from recurlight import FixedHalting
        >>> usual_stopping(FixedHalting())
        AsTrained()
    """
    return Both(StableAnswer(), ConfidentJudge(0.9)) if judges(halting) else AsTrained()

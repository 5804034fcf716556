"""Supervisions: what one optimizer step does with segments."""

from recurlight.supervision.base import Supervision, Turn
from recurlight.supervision.deep import DeepSupervision
from recurlight.supervision.distribution import HaltingDistribution, log_halting
from recurlight.supervision.expected import ExpectedLoss
from recurlight.supervision.one import OneSegment
from recurlight.supervision.ponder import PonderLoss

__all__ = [
    "DeepSupervision",
    "ExpectedLoss",
    "HaltingDistribution",
    "OneSegment",
    "PonderLoss",
    "Supervision",
    "Turn",
    "log_halting",
]

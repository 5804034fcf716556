"""Supervisions: what one optimizer step does with segments."""

from recurlight.supervision.base import Supervision, Turn
from recurlight.supervision.deep import DeepSupervision
from recurlight.supervision.denoising import Denoising
from recurlight.supervision.distribution import HaltingDistribution, log_halting
from recurlight.supervision.expected import ExpectedLoss
from recurlight.supervision.jacobian import JacobianPenalty, jacobian_square
from recurlight.supervision.one import OneSegment
from recurlight.supervision.ponder import PonderLoss
from recurlight.supervision.winner import WinnerTakesAll

__all__ = [
    "DeepSupervision",
    "Denoising",
    "ExpectedLoss",
    "HaltingDistribution",
    "JacobianPenalty",
    "OneSegment",
    "PonderLoss",
    "Supervision",
    "Turn",
    "WinnerTakesAll",
    "jacobian_square",
    "log_halting",
]

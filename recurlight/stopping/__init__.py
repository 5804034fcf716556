"""Stopping rules: when a trained model has thought enough."""

from recurlight.stopping.answer import ConfidentAnswer, StableAnswer
from recurlight.stopping.base import Seen, Stopping
from recurlight.stopping.calibrate import Point, fit_threshold
from recurlight.stopping.joined import Both, Either
from recurlight.stopping.judge import AsTrained, ConfidentJudge
from recurlight.stopping.usual import usual_stopping

__all__ = [
    "AsTrained",
    "Both",
    "ConfidentAnswer",
    "ConfidentJudge",
    "Either",
    "Point",
    "Seen",
    "StableAnswer",
    "Stopping",
    "fit_threshold",
    "usual_stopping",
]

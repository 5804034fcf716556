"""Callbacks of the trainer."""

from recurlight.callbacks.failure import SaveOnFailure
from recurlight.callbacks.finite import StopOnNonFinite
from recurlight.callbacks.predictions import PredictionWriter
from recurlight.callbacks.signals import StopOnSignal

__all__ = ["PredictionWriter", "SaveOnFailure", "StopOnNonFinite", "StopOnSignal"]

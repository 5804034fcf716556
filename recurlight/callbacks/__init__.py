"""Callbacks of the trainer."""

from recurlight.callbacks.predictions import PredictionWriter

__all__ = ["PredictionWriter"]

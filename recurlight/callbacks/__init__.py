"""Callbacks of the trainer."""

from recurlight.callbacks.predictions import PredictionWriter
from recurlight.callbacks.submission import SubmissionWriter

__all__ = ["PredictionWriter", "SubmissionWriter"]

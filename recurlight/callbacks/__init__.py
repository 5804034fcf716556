"""Callbacks of the trainer."""

from recurlight.callbacks.pictures import SamplePictures
from recurlight.callbacks.predictions import PredictionWriter

__all__ = ["PredictionWriter", "SamplePictures"]

"""Supervisions: what one optimizer step does with segments."""

from recurlight.supervision.base import Supervision, Turn
from recurlight.supervision.deep import DeepSupervision
from recurlight.supervision.one import OneSegment

__all__ = ["DeepSupervision", "OneSegment", "Supervision", "Turn"]

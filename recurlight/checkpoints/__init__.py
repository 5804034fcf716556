"""Checkpoints: what they hold, and how they are written, checked, trusted and read."""

from recurlight.checkpoints.io import DurableCheckpointIO

__all__ = ["DurableCheckpointIO"]

"""Checkpoint files that survive kills, full disks and damage."""

from recurlight.saving.plugin import DurableCheckpointIO

__all__ = ["DurableCheckpointIO"]

"""Checkpoints: what they hold, and how they are written, checked, trusted and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurlight.checkpoints.io import DurableCheckpointIO

__all__ = ["DurableCheckpointIO"]


def __getattr__(name: str) -> Any:
    """Load the trainer's plugin on first use, so that files can be read without Lightning."""
    if name not in __all__:
        raise AttributeError(f"module 'recurlight.checkpoints' has no attribute {name!r}")
    from recurlight.checkpoints.io import DurableCheckpointIO

    return DurableCheckpointIO

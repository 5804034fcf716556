"""Checks where Lightning loads checkpoints without `DurableCheckpointIO`."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import LightningModule

from recurlight.saving import files
from recurlight.saving.plugin import DurableCheckpointIO

__all__ = ["verify_source"]


def verify_source(module: LightningModule) -> None:
    """Check the file that a trainer is loading, unless its plugin has done so.

    Raises:
        CheckpointError: The file was cut off or changed.
    """
    trainer = module._trainer
    if trainer is None or isinstance(trainer.strategy.checkpoint_io, DurableCheckpointIO):
        return
    if trainer.ckpt_path is not None and Path(trainer.ckpt_path).is_file():
        files.verify(trainer.ckpt_path)

"""Checks where Lightning loads checkpoints without `DurableCheckpointIO`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from lightning.pytorch import LightningModule

from recurlight.saving import files
from recurlight.saving.plugin import DurableCheckpointIO, is_local

__all__ = ["CheckedLoading", "verify_source"]


class CheckedLoading(LightningModule):
    """A LightningModule whose `load_from_checkpoint` checks the file before it uses it."""

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> Self:
        """Load a model from a checkpoint, as `LightningModule.load_from_checkpoint`, after checking the file.

        Args:
            checkpoint_path: Path, address or open file; only a path is checked.
            args: As there.
            kwargs: As there; arguments of the model among them.

        Raises:
            CheckpointError: The file was cut off or changed; the message names the newest good one beside it.
        """
        if isinstance(checkpoint_path, str | Path) and is_local(checkpoint_path):
            files.verify(checkpoint_path)
        return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)


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

"""The trainer's way to checkpoint files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import Strategy
from typing_extensions import override

from recurlight.checkpoints import files

__all__ = ["DurableCheckpointIO", "make_durable", "verify_source"]


class DurableCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints that survive a kill at any moment, and checks them when they are loaded.

    A checkpoint is written beside its target, brought to the disk and renamed, so that its name holds either
    the old or the new one, complete. Every load checks the checksums that `torch.save` writes into a file, be
    it of this or another program. Lightning's own plugin moves the file from the temporary folder, which is
    not atomic when that lies on another file system, and notices no damage inside the weights.

    The command line uses it on its own. For addresses such as `s3://...`, whose stores replace objects whole,
    it does what Lightning's plugin does.

    Raises:
        CheckpointError: A file cannot be written, is damaged or is no checkpoint.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> trainer = Trainer(plugins=[DurableCheckpointIO()], accelerator="cpu", logger=False)
        >>> type(trainer.strategy.checkpoint_io).__name__
        'DurableCheckpointIO'
    """

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint; what `path` held before stays until the new one is complete."""
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
        else:
            files.write(checkpoint, path)

    @override
    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = lambda storage, location: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Load a checkpoint after checking it."""
        if not Path(path).is_file():  # an address, or missing
            return super().load_checkpoint(path, map_location, weights_only)
        content: dict[str, Any] = files.read(path, map_location, weights_only)
        return content


def make_durable(strategy: Strategy) -> None:
    """Let a strategy write through `DurableCheckpointIO`, unless it was given a plugin of its own."""
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = DurableCheckpointIO()


def verify_source(module: LightningModule) -> None:
    """Check the file that a trainer is loading, whichever plugin reads it.

    Raises:
        CheckpointError: The file was cut off or changed.
    """
    path = module._trainer.ckpt_path if module._trainer else None
    if path is not None and Path(path).is_file():
        files.verify(path)

"""Where the checkpoints of a run are, and which one there is to go on from."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from recurlight.checkpoints.files import newest_good

__all__ = ["checkpoint_folder", "last_file", "last_saved", "readable"]


def _writers(trainer: Trainer) -> list[ModelCheckpoint]:
    """Return the callbacks that write checkpoints in this run."""
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return []
    return [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.dirpath]


def checkpoint_folder(trainer: Trainer) -> Path | None:
    """Return the folder of the run's checkpoints, None when the run keeps none."""
    return next((Path(str(writer.dirpath)) for writer in _writers(trainer)), None)


def last_file(trainer: Trainer) -> Path | None:
    """Return the file that holds the newest state of the run, to be overwritten, None when it keeps none.

    It becomes the writer's own last file; a file of that name from another run is left alone.
    """
    writer = next(iter(_writers(trainer)), None)
    if writer is None:
        return None
    if not writer.last_model_path:
        last = writer.CHECKPOINT_NAME_LAST
        names = (writer.format_checkpoint_name({}, last, ver=version or None) for version in count())
        writer.last_model_path = next(name for name in names if not os.path.lexists(name))
    return Path(writer.last_model_path)


def last_saved(trainer: Trainer) -> str:
    """Say which is the newest good checkpoint in the folder of the run, or the one that it began with."""
    folder = checkpoint_folder(trainer)
    newest = (newest_good(folder) if folder else None) or trainer.ckpt_path
    return f"the last checkpoint is {readable(newest)}" if newest else "no checkpoint was written before"


def readable(path: str | os.PathLike[str]) -> str:
    """Return a path as it is told to people: relative where that is short."""
    relative = os.path.relpath(path)
    return os.fspath(path) if relative.startswith("..") else relative

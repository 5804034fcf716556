"""What a checkpoint knows about the run that wrote it, read before any class is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import WeightAveraging

from recurlight.checkpoints import files
from recurlight.checkpoints.contents import data_made_with, made_by, made_with, require_readable, unrecorded
from recurlight.errors import CheckpointError, RecurlightError, suggestion

__all__ = ["LINKS", "NOTHING", "CheckpointError", "doubts", "read_checkpoint", "require_usable", "run_config"]

LINKS = ("vocab_size", "seq_len", "num_tasks")
"""Settings of the model that follow from the data."""

FOR_TRAINING = ("optimizer", "scheduler")
"""Settings of the model that evaluation does without."""

OURS = "recurlight.RecursiveModule"
"""The class that the command line makes."""

NOTHING = (None, "", "null")
"""How a command line says that there is no checkpoint."""

KEYWORDS = ("hpc",)
"""Checkpoints that Lightning finds by itself."""

SHARDED = (".metadata", "latest")
"""What shows that a folder is itself a checkpoint, of a strategy that shards."""


def read_checkpoint(path: str, flag: str = "--ckpt_path") -> dict[str, Any]:
    """Load a checkpoint without running any code from it; its weights stay on disk until they are used.

    Args:
        path: File.
        flag: What the user named it by.

    Returns:
        Its content; empty for sharded ones, which are folders, and for `hpc`, which Lightning resolves.

    Raises:
        CheckpointError: There is no such file, or it holds something else.
    """
    file = Path(path)
    if path in KEYWORDS or any((file / name).is_file() for name in SHARDED):
        return {}
    if file.is_dir():
        inside = (found for found in file.rglob("*.ckpt") if found.is_file())
        newest = max(inside, key=lambda found: found.stat().st_mtime, default=None)
        advice = f"name a file, such as {newest}" if newest else "there is no checkpoint in it"
        raise CheckpointError(f"{flag} {path}: this is a folder; {advice}")
    if path == "best" and not file.is_file():
        raise CheckpointError(
            f"{flag} best: only the program that trained knows which was best: name its file, or last"
        )
    if not file.is_file():
        near = sorted(str(other) for other in file.parent.glob("*.ckpt")) if file.parent.is_dir() else []
        raise CheckpointError(f"{flag} {path}: there is no such file{suggestion(path, near)}")
    try:
        content = files.read(path, mmap=True)
    except CheckpointError as error:
        raise CheckpointError(f"{flag} {error}") from error
    except OSError as error:
        raise CheckpointError(f"{flag} {path}: cannot be read, {error.strerror}") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise CheckpointError(f"{flag} {path}: no Lightning checkpoint, it has no 'state_dict'")
    return content


def require_usable(
    called: str, checkpoint: dict[str, Any], subcommand: str, given: Callable[[str], bool]
) -> None:
    """Refuse a checkpoint from which a subcommand cannot make its model.

    Args:
        called: What the user called it, with the flag.
        checkpoint: Its content.
        subcommand: Such as `fit`.
        given: Whether the user sets a key.

    Raises:
        CheckpointError: It is of a newer version or of another class, or lacks a setting.
    """
    try:
        require_readable(checkpoint)
    except RecurlightError as error:
        raise CheckpointError(f"{called}: {error}") from error
    kind = made_by(checkpoint)
    if kind not in (None, OURS):
        raise CheckpointError(f"{called}: it is of the class {kind}, which is loaded in Python only")
    for name, why in unrecorded(checkpoint).items():
        if not given(f"model.{name}") and (subcommand == "fit" or name not in FOR_TRAINING):
            raise CheckpointError(
                f"{called}: the model's {name} could not be written into it ({why}): "
                f"set it again, --model.{name} ..."
            )


def run_config(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the sections `model` and `data` with which a checkpoint was made, as far as it tells.

    Example:
        >>> run_config({"hyper_parameters": {"width": 8, "vocab_size": 6, "_instantiator": "x"}})
        {'model': {'width': 8}}
    """
    config: dict[str, Any] = {}
    model = made_with(checkpoint)
    if model:
        config["model"] = {key: value for key, value in model.items() if key not in LINKS}
    data = data_made_with(checkpoint)
    return config | {"data": data} if data else config


def doubts(
    subcommand: str, path: Any, checkpoint: Mapping[str, Any], trainer: Trainer, planned: Iterable[str]
) -> Iterator[str]:
    """Say what a user probably did not mean, though it can be done.

    Args:
        subcommand: Such as `fit`.
        path: Of the checkpoint, None for none.
        checkpoint: Its content.
        trainer: What goes on from it.
        planned: Names of the callbacks' classes in the configurations, below the flags.
    """
    if subcommand != "fit" and path is None:
        yield f"{subcommand} without --ckpt_path: the weights are the initial ones, untrained"
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    there = {base.__name__ for callback in callbacks for base in type(callback).__mro__}
    lost = ", ".join(name for name in planned if name not in there)
    if lost:
        yield (
            f"--trainer.callbacks leaves out what the configurations name, {lost}: "
            "--trainer.callbacks+=NAME adds to it instead"
        )
    averages = any(isinstance(callback, WeightAveraging) for callback in callbacks)
    if subcommand == "fit" and "averaging_state" in checkpoint and not averages:
        yield (
            f"{path} holds averaged weights and this run averages none: name the recipe too (--config NAME), "
            "for a checkpoint brings the model and the data, but not the trainer's settings"
        )

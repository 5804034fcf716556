"""Which checkpoint a command line means, and what it tells before any class is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recurlight.checkpoints import files
from recurlight.checkpoints.contents import (
    FROM_DATA,
    data_made_with,
    made_by,
    made_with,
    require_readable,
    unrecorded,
)
from recurlight.cli.config import plain
from recurlight.cli.merge import has_key, several
from recurlight.errors import CheckpointError, RecurlightError

__all__ = ["KEYWORDS", "LOGS", "NOTHING", "find_last", "read_checkpoint", "read_weights"]
__all__ += ["run_config"]

FOR_TRAINING = ("optimizer", "scheduler")
"""Settings of the model that evaluation does without."""

OURS = "recurlight.RecursiveModule"
"""The class that the command line makes where nothing names another."""

LOGS = "runs"
"""Folder of the logs, and of the checkpoints below them, unless trainer or logger are given another."""

NOTHING = (None, "", "null")
"""How a command line says that there is no checkpoint."""

KEYWORDS = ("last", "auto")
"""Checkpoints that `find_last` finds."""


def find_last(keyword: str, fit: bool, trainer: dict[str, Any], name: str) -> str | None:
    """Find the newest checkpoint where a run with this configuration writes its own, in any version of it.

    Args:
        keyword: `last` or `auto`.
        fit: Whether the command trains; `auto` may then find none.
        trainer: What the user sets of the trainer.
        name: Name of the run.

    Returns:
        The file; None when there is none.

    Raises:
        CheckpointError: There is none to resume or to evaluate.
    """
    places = list(dict.fromkeys(_places(trainer, name)))
    files = [file for folder, pattern in places for file in folder.glob(pattern) if file.is_file()]
    if files:
        return str(max(files, key=lambda file: (file.stat().st_mtime_ns, file.name)))
    if fit and keyword == "auto":
        return None
    searched = " nor ".join(str(folder / pattern) for folder, pattern in places)
    advice = ", or use --ckpt_path auto, which starts afresh where there is nothing to resume" if fit else ""
    raise CheckpointError(f"--ckpt_path {keyword}: there is no {searched}; name a file{advice}")


def _places(trainer: dict[str, Any], name: str) -> Iterator[tuple[Path, str]]:
    """Iterate over folders and what to look for in them: the callbacks' own, and those below the logs."""
    named = [_arguments(callback).get("dirpath") for callback in several(trainer.get("callbacks"))]
    yield from ((Path(folder), "*.ckpt") for folder in named if folder)
    logger, root = plain(trainer.get("logger", {})), trainer.get("default_root_dir")
    if logger is False:
        yield Path(root or "."), "checkpoints/*.ckpt"
    for given in [{}] if logger is True else several(logger):
        # One logger keeps the defaults of the command line, which Lightning's own and a list replace.
        ours = logger is given
        place = {"save_dir": root or (LOGS if ours else "."), "name": name if ours else "lightning_logs"}
        place |= _arguments(given)
        yield Path(place["save_dir"]) / place["name"], "*/checkpoints/*.ckpt"


def _arguments(given: Any) -> dict[str, Any]:
    """Return the arguments of a class in a configuration, however it is written."""
    return given.get("init_args") or given if isinstance(given, dict) else {}


def read_checkpoint(
    path: str, subcommand: str, user: dict[str, Any], flag: str = "--ckpt_path", whole: bool = True
) -> dict[str, Any]:
    """Load a checkpoint without running any code from it; its weights stay on disk until they are used.

    Args:
        path: What the user calls it.
        subcommand: Such as `fit`.
        user: What files and flags set.
        flag: What the user names it by.
        whole: Whether the model is made from it; else its weights alone are wanted.

    Raises:
        CheckpointError: There is no such file, it holds something else, or no model can be made from it.
    """
    try:
        content = _content(path)
        require_readable(content)
        if whole:
            _require_usable(content, subcommand, user)
    except (RecurlightError, OSError) as error:
        text = f"cannot be read, {error.strerror}" if isinstance(error, OSError) else str(error)
        raise CheckpointError(f"{flag} {path}: {text.removeprefix(f'{path}: ')}") from error
    return content


def read_weights(
    path: Any, resumed: Any, subcommand: str, user: dict[str, Any], whole: bool
) -> dict[str, Any]:
    """Read the checkpoint that `--weights` names; empty if there is none.

    Args:
        path: What `--weights` says.
        resumed: What `--ckpt_path` says.
        subcommand: Such as `fit`.
        user: What files and flags set.
        whole: Whether its model is made anew too, because no configuration names another.

    Raises:
        CheckpointError: It is no checkpoint, its model cannot be made, or no new training begins.
    """
    if path in NOTHING:
        for lone in ("weights_parts", "weights_widen"):
            if user.get(lone) not in NOTHING:
                raise CheckpointError(f"--{lone} chooses among weights of a checkpoint: add --weights FILE")
        return {}
    if subcommand != "fit":
        raise CheckpointError(f"--weights {path} begins a training: {subcommand} with --ckpt_path {path}")
    if resumed not in NOTHING:
        raise CheckpointError(
            f"--weights {path} begins a new run and --ckpt_path {resumed} goes on with one: drop one of them"
        )
    return read_checkpoint(str(path), subcommand, user, "--weights", whole)


def _content(path: str) -> dict[str, Any]:
    files.require_file(path)
    content = files.read(path, mmap=True)
    if not isinstance(content, dict) or "state_dict" not in content:
        raise CheckpointError("no Lightning checkpoint, it has no 'state_dict'")
    return content


def _require_usable(checkpoint: dict[str, Any], subcommand: str, user: dict[str, Any]) -> None:
    """Refuse a checkpoint that lacks a setting."""
    for name, why in unrecorded(checkpoint).items():
        if not has_key(user, ("model", name)) and (subcommand == "fit" or name not in FOR_TRAINING):
            raise CheckpointError(
                f"the model's {name} could not be written into it ({why}): set it again, --model.{name} ..."
            )


def run_config(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the sections `model` and `data` with which a checkpoint was made, as far as it tells.

    Example:
        >>> run_config({"hyper_parameters": {"width": 8, "vocab_size": 6, "_instantiator": "x"}})
        {'model': {'width': 8}}
    """
    model = {key: value for key, value in made_with(checkpoint).items() if key not in FROM_DATA}
    model |= {} if made_by(checkpoint) in (None, OURS) else {"class_path": made_by(checkpoint)}
    config = {"model": model, "data": data_made_with(checkpoint)}
    return {name: section for name, section in config.items() if section}

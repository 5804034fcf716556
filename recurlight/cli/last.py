"""Which checkpoint `--ckpt_path last` and `--ckpt_path auto` mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from recurlight.cli.checkpoint import CheckpointError
from recurlight.cli.config import Flag, parse

__all__ = ["KEYWORDS", "LOGS", "find_last"]

KEYWORDS = ("last", "auto")

LOGS = "runs"
"""Folder of the logs, and of the checkpoints below them, unless trainer or logger are given another."""


def find_last(
    keyword: str, fit: bool, trainer: dict[str, Any], flags: Iterable[Flag], name: str
) -> str | None:
    """Find the newest checkpoint where a run with this configuration writes its own, in any version of it.

    Args:
        keyword: `last` or `auto`.
        fit: Whether the command trains; `auto` may then find none.
        trainer: Section `trainer` of the configuration.
        flags: Flags, which win over it.
        name: Name of the run.

    Returns:
        The file; None when there is none.

    Raises:
        CheckpointError: There is none to resume or to evaluate.
    """
    flagged = {flag.key.replace(".init_args", "").removeprefix("trainer."): flag.value for flag in flags}
    places = list(dict.fromkeys(_places(trainer, flagged, name)))
    files = [file for folder, pattern in places for file in folder.glob(pattern) if file.is_file()]
    if files:
        return str(max(files, key=lambda file: (file.stat().st_mtime_ns, file.name)))
    if fit and keyword == "auto":
        return None
    searched = " nor ".join(str(folder / pattern) for folder, pattern in places)
    advice = ", or use --ckpt_path auto, which starts afresh where there is nothing to resume" if fit else ""
    raise CheckpointError(f"--ckpt_path {keyword}: there is no {searched}; name a file{advice}")


def _places(trainer: dict[str, Any], flagged: dict[str, str], name: str) -> Iterator[tuple[Path, str]]:
    """Iterate over folders and what to look for in them: the callbacks' own, and those below the logs."""
    callbacks = [_arguments(callback) for callback in _several(trainer.get("callbacks"))]
    named = [callback.get("dirpath") for callback in callbacks] + [flagged.get("callbacks.dirpath")]
    yield from ((Path(folder), "*.ckpt") for folder in named if folder)
    logger = parse(flagged["logger"]) if "logger" in flagged else trainer.get("logger", {})
    root = flagged.get("default_root_dir") or trainer.get("default_root_dir")
    if logger is False:
        yield Path(root or "."), "checkpoints/*.ckpt"
    for given in _several(logger):
        # one logger keeps the defaults of the command line, which Lightning's own and a list replace
        ours = logger is given and given is not True
        place = {"save_dir": root or LOGS, "name": name} if ours else {"save_dir": root or "."}
        alone = {key: flagged[f"logger.{key}"] for key in ("save_dir", "name") if f"logger.{key}" in flagged}
        place |= _arguments(given) | alone
        yield Path(place["save_dir"]) / place.get("name", "lightning_logs"), "*/checkpoints/*.ckpt"


def _several(given: Any) -> list[Any]:
    """Return a list for one or none."""
    return given if isinstance(given, list) else [] if given in (None, False) else [given]


def _arguments(given: Any) -> dict[str, Any]:
    """Return the arguments of a class in a configuration, however it is written."""
    return given.get("init_args") or given if isinstance(given, dict) else {}

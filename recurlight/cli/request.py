"""What a command line refers to, read in and merged before any class is made."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from recurlight.cli.checkpoint import read_checkpoint, run_config
from recurlight.cli.config import Flag, flags, read, split, without
from recurlight.cli.last import KEYWORDS, find_last
from recurlight.cli.merge import forget_switched, has_key, overlay
from recurlight.cli.recipes import config_path

__all__ = ["Request", "prepare"]


class Request(NamedTuple):
    """A command line with everything that it refers to read in."""

    subcommand: str
    rest: list[str]
    """Flags, as given."""
    config: dict[str, Any]
    """Checkpoint and configuration files, laid over each other, without what the flags switch."""
    sources: list[tuple[str, dict[str, Any]]]
    """Each configuration file by the name that the user gave it."""
    checkpoint: dict[str, Any]
    name: str
    """Name of the run's folder: that of the first configuration."""

    def arguments(self) -> list[str]:
        """Return the command line that jsonargparse parses."""
        config = ["--config", yaml.safe_dump(self.config)] if self.config else []
        return [self.subcommand, *config, *self.rest]

    def origin(self, key: str) -> str | None:
        """Name the last configuration that sets a key, unless a flag does."""
        if not key or any(flag.key == key for flag in flags(self.rest)):
            return None
        return next((name for name, content in reversed(self.sources) if has_key(content, key)), None)


def _value(key: str, sources: list[tuple[str, dict[str, Any]]], given: list[Flag]) -> Any:
    """Return what the last configuration says about a key of the root; a flag wins."""
    values = [content[key] for _, content in sources if key in content]
    values += [flag.value for flag in given if flag.key == key]
    return values[-1] if values else None


def prepare(subcommand: str, arguments: Sequence[str], folder: Path) -> Request:
    """Read the checkpoint and the configurations that a command line names, and merge them.

    Args:
        subcommand: Such as `fit`.
        arguments: What follows it.
        folder: Where recipes lie.
    """
    configs, rest = split(arguments)
    given = list(flags(rest))
    files = [config_path(value, folder) for value in configs]
    sources = [(value, read(file)) for value, file in zip(configs, files, strict=True)]
    name = files[0].stem if files else "run"
    path = _value("ckpt_path", sources, given)
    if path in KEYWORDS:
        trainer: dict[str, Any] = {}
        for _, content in sources:
            trainer = overlay(trainer, content.get("trainer") or {})
        path = find_last(path, subcommand == "fit", trainer, given, name)
        rest = without(rest, "ckpt_path")
        sources.append(("--ckpt_path", {"ckpt_path": path}))
    checkpoint = read_checkpoint(path) if path not in (None, "", "null") else {}
    merged = run_config(checkpoint)
    for _, content in sources:
        merged = overlay(merged, content)
    merged = copy.deepcopy(merged)  # the sources share their nodes with it
    for flag in given:
        forget_switched(merged, flag)
    return Request(subcommand, rest, merged, sources, checkpoint, name)

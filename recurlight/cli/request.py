"""What a command line refers to, read in and merged before any class is made."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from recurlight.cli.checkpoint import read_checkpoint, require_usable, run_config
from recurlight.cli.config import ConfigError, Flag, flags, read, split
from recurlight.cli.merge import forget_switched, has_key, overlay
from recurlight.cli.recipes import config_path
from recurlight.cli.trust import named_by, own_packages

__all__ = ["DEFAULTS", "Request", "prepare"]

DEFAULTS = {"model": {"optimizer": {"class_path": "recurlight.AdamATan2"}}}
"""Defaults of the model that are classes; another class must not inherit their arguments."""


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
    packages: list[str]
    """Packages beyond recurlight, torch and Lightning whose classes may be named."""

    def arguments(self) -> list[str]:
        """Return the command line that jsonargparse parses."""
        config = ["--config", yaml.safe_dump(self.config)] if self.config else []
        return [self.subcommand, *config, *self.rest]

    def origin(self, key: str) -> str | None:
        """Name the last configuration that sets a key, unless a flag does."""
        if not key or any(flag.key == key for flag in flags(self.rest)):
            return None
        return next((name for name, content in reversed(self.sources) if has_key(content, key)), None)


def prepare(subcommand: str, arguments: Sequence[str], folder: Path) -> Request:
    """Read the checkpoint and the configurations that a command line names, and merge them.

    Args:
        subcommand: Such as `fit`.
        arguments: What follows it.
        folder: Where recipes lie.
    """
    configs, trusted, rest = split(arguments)
    given = list(flags(rest))
    files = [config_path(value, folder) for value in configs]
    sources = [(value, read(file)) for value, file in zip(configs, files, strict=True)]
    checkpoint = _checkpoint(subcommand, sources, given)
    merged = overlay(DEFAULTS, run_config(checkpoint))
    for _, content in sources:
        merged = overlay(merged, content)
    merged = copy.deepcopy(merged)  # the sources share their nodes with it
    for flag in given:
        forget_switched(merged, flag)
    packages = [*trusted, *named_by(given), *own_packages(merged)]
    return Request(subcommand, rest, merged, sources, checkpoint, files[0].stem if files else "run", packages)


def _checkpoint(
    subcommand: str, sources: Sequence[tuple[str, dict[str, Any]]], given: Sequence[Flag]
) -> dict[str, Any]:
    """Read the checkpoint that the last of files and flags names; empty if none does."""
    paths = [content["ckpt_path"] for _, content in sources if "ckpt_path" in content]
    paths += [flag.value for flag in given if flag.key == "ckpt_path"]
    if not paths or paths[-1] in ("", "null"):
        return {}
    if not isinstance(paths[-1], str):
        raise ConfigError(f"ckpt_path: expected the path of a checkpoint, got {paths[-1]!r}")
    checkpoint = read_checkpoint(paths[-1])
    set_keys = [flag.key for flag in given]
    require_usable(
        paths[-1],
        checkpoint,
        subcommand,
        lambda key: key in set_keys or any(has_key(content, key) for _, content in sources),
    )
    return checkpoint

"""What a command line refers to, read in and merged before any class is made."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from recurlight.cli.checkpoint import NOTHING, read_checkpoint, require_usable, run_config
from recurlight.cli.config import ConfigError, Flag, flags, parse, read, split, without
from recurlight.cli.last import KEYWORDS, LOGS, find_last
from recurlight.cli.merge import forget_switched, has_key, overlay
from recurlight.cli.overlays import check_overlays
from recurlight.cli.recipes import config_path
from recurlight.cli.trust import named_by, own_packages
from recurlight.cli.weights import read_weights, sections

__all__ = ["DEFAULTS", "Request", "prepare"]

DEFAULTS = {"model": {"optimizer": {"class_path": "recurlight.AdamATan2"}}}
"""Defaults of the model that are classes; another class must not inherit their arguments."""

Source = tuple[str, dict[str, Any]]
"""A configuration file by the name that the user gave it, and its content."""


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
    weights: dict[str, Any]
    """The checkpoint whose weights a new run begins with; empty if there is none."""
    name: str
    """Name of the run's folder: that of the first configuration."""
    root: str
    """Folder of the runs: the trainer's `default_root_dir`, unless the logger is given another."""
    packages: list[str]
    """Packages beyond recurlight, torch and Lightning whose classes may be named."""

    def arguments(self) -> list[str]:
        """Return the command line that jsonargparse parses."""
        config = ["--config", yaml.safe_dump(self.config)] if self.config else []
        return [self.subcommand, *config, *self.rest]

    def sets(self, key: str) -> bool:
        """Return whether a configuration or a flag sets a key, or something below it."""
        return has_key(self.config, key) or self._is_flag(key)

    def _is_flag(self, key: str) -> bool:
        given = (flag.key.replace("+", "").replace(".init_args", "") for flag in flags(self.rest))
        return any(flag == key or flag.startswith(f"{key}.") for flag in given)

    def origin(self, key: str) -> str | None:
        """Name the last configuration that sets a key, unless a flag sets it or something below it."""
        if not key or self._is_flag(key):
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
    check_overlays(configs, [content for _, content in sources], folder)
    name = files[0].stem if files else "run"
    path, start = _value("ckpt_path", sources, given), _value("weights", sources, given)
    weights = read_weights(start, path, subcommand)
    if path in KEYWORDS:
        path = _last(path, subcommand, sources, given, name)
        rest = without(rest, "ckpt_path")
        sources.append(("--ckpt_path", {"ckpt_path": path}))
    checkpoint = _checkpoint(path, subcommand, sources, given)
    named = {section for _, content in sources for section in content}
    own = sections(start, weights, named, _setter(sources, given))
    merged = overlay(DEFAULTS, run_config(checkpoint) | own)
    for _, content in sources:
        merged = overlay(merged, content)
    merged = copy.deepcopy(merged)  # the sources share their nodes with it
    for flag in given:
        forget_switched(merged, flag)
    packages = [*trusted, *named_by(given), *own_packages(merged)]
    roots = [parse(flag.value) for flag in given if flag.key == "trainer.default_root_dir"]
    root = [(merged.get("trainer") or {}).get("default_root_dir"), *roots][-1] or LOGS
    return Request(subcommand, rest, merged, sources, checkpoint, weights, name, root, packages)


def _value(key: str, sources: Sequence[Source], given: Sequence[Flag]) -> Any:
    """Return what the last configuration says about a key of the root; a flag wins."""
    values = [content[key] for _, content in sources if key in content]
    values += [flag.value for flag in given if flag.key == key]
    return values[-1] if values else None


def _last(
    keyword: str, subcommand: str, sources: Sequence[Source], given: Sequence[Flag], name: str
) -> str | None:
    """Find the checkpoint that a keyword means."""
    trainer: dict[str, Any] = {}
    for _, content in sources:
        trainer = overlay(trainer, content.get("trainer") or {})
    return find_last(keyword, subcommand == "fit", trainer, given, name)


def _checkpoint(
    path: Any, subcommand: str, sources: Sequence[Source], given: Sequence[Flag]
) -> dict[str, Any]:
    """Read the checkpoint of a path; empty if there is none."""
    if path in NOTHING:
        return {}
    if not isinstance(path, str):
        raise ConfigError(f"ckpt_path: expected the path of a checkpoint, got {path!r}")
    checkpoint = read_checkpoint(path)
    require_usable(f"--ckpt_path {path}", checkpoint, subcommand, _setter(sources, given))
    return checkpoint


def _setter(sources: Sequence[Source], given: Sequence[Flag]) -> Callable[[str], bool]:
    """Return what tells whether a configuration or a flag sets a key."""
    keys = [flag.key for flag in given]
    return lambda key: key in keys or any(has_key(content, key) for _, content in sources)

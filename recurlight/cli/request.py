"""What a command line refers to, read in and merged before any class is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from recurlight.checkpoints.hub import fetched
from recurlight.checkpoints.trust import is_own
from recurlight.cli.checkpoint import (
    KEYWORDS,
    LOGS,
    NOTHING,
    find_last,
    read_checkpoint,
    read_weights,
    run_config,
)
from recurlight.cli.config import read, split
from recurlight.cli.merge import has_key
from recurlight.cli.model import beside, merged
from recurlight.cli.overlays import check_overlays, require_whole
from recurlight.cli.recipes import config_path
from recurlight.cli.trust import class_paths

__all__ = ["FOR_THE_WRITER", "Request", "for_the_writer", "prepare"]


FOR_THE_WRITER = {"confidence": "confidence", "output": "path"}
"""Flags of `recurlight predict` that are settings of the writer."""


class Source(NamedTuple):
    """A part of the configuration."""

    name: str
    """As the user calls it; empty for flags and defaults."""
    content: dict[str, Any]


class Request(NamedTuple):
    """A command line with everything that it refers to read in."""

    subcommand: str
    asked: list[str]
    """What asks for an output instead of a run, such as `--help`."""
    config: dict[str, Any]
    """All sources, laid over each other."""
    sources: list[Source]
    """Defaults, checkpoint, configuration files and flags; later ones win."""
    checkpoint: dict[str, Any]
    weights: dict[str, Any]
    """The checkpoint whose weights a new run begins with; empty if there is none."""
    packages: list[str]
    """Packages beyond recurlight, torch and Lightning whose classes may be named."""

    def sets(self, path: Sequence[Any]) -> bool:
        """Return whether anything but a default sets a key, or something below it."""
        return any(has_key(content, path) for _, content in self.sources[1:])

    def origin(self, path: Sequence[Any]) -> str:
        """Name the last source that sets a key, with a colon; nothing for flags and for no key."""
        found = (name for name, content in reversed(self.sources) if has_key(content, path))
        name = next(found, "") if path else ""
        return f"{name}: " if name else ""


def defaults(subcommand: str, name: str, root: Any) -> dict[str, Any]:
    """Return the defaults of the command line; another class must not inherit the arguments of one.

    Args:
        subcommand: Such as `fit`.
        name: Name of the run's folder.
        root: Folder of the runs: the trainer's `default_root_dir`, unless the logger is given another.
    """
    logger: Any = False  # evaluation prints a table and leaves no folder behind
    if subcommand == "fit":
        init = {"save_dir": root or LOGS, "name": name, "default_hp_metric": False}
        logger = {"class_path": "lightning.pytorch.loggers.TensorBoardLogger", "init_args": init}
    config = {"model": {"optimizer": {"class_path": "recurlight.AdamATan2"}}, "trainer": {"logger": logger}}
    # A callback writes predictions; kept in memory they would be gigabytes.
    return config | ({"return_predictions": False} if subcommand == "predict" else {})


def prepare(subcommand: str, arguments: Sequence[str], folder: Path) -> Request:
    """Read the checkpoint and the configurations that a command line names, and merge them.

    Args:
        subcommand: Such as `fit`.
        arguments: What follows it.
        folder: Where recipes lie.
    """
    given = split(arguments)
    paths = [config_path(value, folder) for value in given.configs]
    files = [Source(value, beside(read(file))) for value, file in zip(given.configs, paths, strict=True)]
    name = paths[0].stem if paths else "run"
    sources = [*files, *(Source("", beside(setting)) for setting in given.settings)]
    user = merged(source.content for source in sources)
    there: dict[str, Any] = {key: fetched(user[key]) for key in ("ckpt_path", "weights") if key in user}
    sources.append(Source("", there))
    user |= there
    check_overlays(given.configs, [content for _, content in files], folder)
    trainer = user.get("trainer")
    trainer = trainer if isinstance(trainer, dict) else {}  # anything else is refused by `Check`
    path, named = user.get("ckpt_path"), {section for _, content in files for section in content}
    start = user.get("weights")
    weights = read_weights(start, path, subcommand, user, whole="model" not in named)
    if path in KEYWORDS:
        path = find_last(path, subcommand == "fit", trainer, name)
        sources.append(Source("", {"ckpt_path": path}))
    checkpoint = {} if path in NOTHING else read_checkpoint(str(path), subcommand, user)
    own = {section: value for section, value in run_config(weights).items() if section not in named}
    # A new run has a seed of its own; that of the data tells which puzzles the weights have not seen.
    own.get("model", {}).pop("seed", None)
    made = Source(f"--weights {start}" if weights else f"--ckpt_path {path}", run_config(checkpoint) | own)
    base = Source("", defaults(subcommand, name, trainer.get("default_root_dir")))
    sources = [base, made, *sources]
    config = merged(source.content for source in sources)
    if not given.asked:
        require_whole(given.configs, config, folder)
    # What flags name is allowed, also a class whose help is asked for.
    words = [*given.settings, *(word.rpartition("=")[2] for word in given.asked)]
    allowed = [*class_paths(words), *filter(is_own, class_paths(config))]
    packages = [*given.trusted, *(path.partition(".")[0] for path in allowed)]
    return Request(subcommand, given.asked, config, sources, checkpoint, weights, packages)


def for_the_writer(arguments: Sequence[str]) -> list[str]:
    """Read `--confidence X` and `--output FILE` as what they stand for: settings of the writer."""
    words = list(arguments)
    places = [
        at for at, word in enumerate(words) if word.partition("=")[0].removeprefix("--") in FOR_THE_WRITER
    ]
    for at in places:
        name, equals, value = words[at].partition("=")
        words[at] = f"--trainer.callbacks.{FOR_THE_WRITER[name[2:]]}{equals}{value}"
    if places:
        words.insert(places[0], "--trainer.callbacks+=PredictionWriter")
    return words

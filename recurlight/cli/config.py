"""Command lines and configuration files as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

import yaml
from jsonargparse import get_loader

from recurlight.errors import RecurlightError

__all__ = ["Arguments", "ConfigError", "nested", "plain", "read", "split"]

parse = get_loader("yaml")
"""Parses YAML exactly as jsonargparse does: `1e-3` is a number."""

CONFIG = "a YAML file or a recipe (see: recurlight recipes list)"
ASK = ("-h", "--help", "--print_config")
WRITTEN = "settings are written --key value, a recipe or file --config NAME"
NEEDS = {"--config": CONFIG, "-c": CONFIG, "--trust": "a package whose classes files may name"}


class ConfigError(RecurlightError, ValueError):
    """A configuration file or flag cannot be used."""


class Arguments(NamedTuple):
    """The command line of a subcommand, taken apart."""

    configs: list[str]
    """Values of `--config`, in order."""
    trusted: list[str]
    """Values of `--trust`."""
    settings: list[dict[str, Any]]
    """All other flags in order, each as plain data."""
    asked: list[str]
    """What asks for an output instead of a run, such as `--help`, as it was given."""


def split(arguments: Sequence[str]) -> Arguments:
    """Take a command line apart.

    Raises:
        ConfigError: A word is no flag, or a flag has no value.

    Example:
        >>> split(["-c", "a", "--x.y", "1", "--z=[2]", "--help"])
        Arguments(configs=['a'], trusted=[], settings=[{'x': {'y': '1'}}, {'z': [2]}], asked=['--help'])
    """
    found = Arguments([], [], [], [])
    words = [*arguments]
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if not name.startswith("--") and name not in ("-c", "-h"):
            raise ConfigError(f"'{word}' is not expected here: {WRITTEN}")
        asks = name in ASK or name.endswith(".help")
        # A value may begin with one dash, such as -1, and no setting does.
        if not equals and name != "--print_config" and words and not words[0].startswith("--"):
            value = words.pop(0)
        if name == "--model.help":  # the settings of a model stand beside its class, not below it
            found.asked.extend(["--help", "model"])
            found.settings.extend([{"model": value}] if value else [])
        elif asks:
            found.asked.extend([word] if equals else [name, value] if value else [name])
        elif not value and (not equals or name in NEEDS):
            raise ConfigError(f"{name} needs a value{f': {NEEDS[name]}' if name in NEEDS else ''}")
        elif name in NEEDS:
            (found.trusted if name == "--trust" else found.configs).append(value)
        else:
            # Numbers stay text until their type is known: `--data.path 123` is a name.
            parsed = plain(value) if value else value
            kept = parsed if isinstance(parsed, (list, dict, NoneType)) else value
            found.settings.append(nested(name[2:], kept))
    return found


def nested(key: str, value: Any) -> dict[str, Any]:
    """Write a setting with a dotted key as plain data.

    Example:
        >>> nested("model.width", 3)
        {'model': {'width': 3}}
    """
    first, dot, rest = key.partition(".")
    return {first: nested(rest, value) if dot else value}


def plain(value: Any) -> Any:
    """Parse a text; it stays what it is where it is no YAML.

    Example:
        >>> plain("[1]"), plain("["), plain(2)
        ([1], '[', 2)
    """
    try:
        return parse(value) if isinstance(value, str) else value
    except (yaml.YAMLError, ValueError):
        return value


def read(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        ConfigError: It cannot be read, is no YAML (with the line), or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content, root = parse(text), yaml.compose(text, Loader=yaml.SafeLoader)
        twice = next(_repeated(root, ()), None) if root else None
    except UnicodeDecodeError as error:
        if path.suffix == ".ckpt" or path.read_bytes()[:2] == b"PK":  # a checkpoint is a zip archive
            raise ConfigError(f"{path} is no text: a checkpoint is named by --ckpt_path {path}") from error
        raise ConfigError(f"{path} is no UTF-8 text: save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # numbers and dates may be impossible
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = f", line {mark.line + 1}" if mark else ""
        if mark and text[mark.index : mark.index + 1] == "\t":
            problem = "a tab where it wants spaces"
        raise ConfigError(f"{path}{line}: not valid YAML, {problem or error}") from error
    if twice:
        raise ConfigError(f"{path}, {twice}")
    if not isinstance(content, dict | None):
        found = " ".join(text.split())[:60]
        raise ConfigError(f"{path}: expected sections such as 'model:' and 'data:', found {found!r}")
    return {key: value for key, value in (content or {}).items() if value is not None}


def _repeated(node: yaml.Node, above: tuple[yaml.Node, ...]) -> Iterator[str]:
    """Say which key is set twice in one mapping, of which YAML keeps the last, or which node holds itself."""
    if any(node is other for other in above):
        yield f"line {node.start_mark.line + 1}: an alias refers to what it is part of"
        return
    seen = set()
    for item in node.value if isinstance(node, yaml.CollectionNode) else ():
        for part in item if isinstance(item, tuple) else (item,):
            yield from _repeated(part, (*above, node))
        if isinstance(item, tuple) and isinstance(item[0], yaml.ScalarNode):
            if item[0].value in seen:
                yield f"line {item[0].start_mark.line + 1}: '{item[0].value}' is set twice"
            seen.add(item[0].value)

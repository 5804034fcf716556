"""Command lines and configuration files as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonargparse import get_loader

from recurlight.cli.explain.shape import misshapen, repeated
from recurlight.errors import RecurlightError

__all__ = ["Arguments", "ConfigError", "Flag", "flags", "parse", "read", "split", "without"]


CONFIG = "a YAML file or a recipe (see: recurlight recipes list)"
NEEDS = {"--config": CONFIG, "-c": CONFIG, "--trust": "a package whose classes files may name"}


class ConfigError(RecurlightError, ValueError):
    """A configuration file or flag cannot be used."""


class Arguments(NamedTuple):
    """The command line of a subcommand, taken apart."""

    configs: list[str]
    """Values of `--config`, in order."""
    trusted: list[str]
    """Values of `--trust`."""
    rest: list[str]
    """Everything else, in order."""


class Flag(NamedTuple):
    """One setting of the command line."""

    key: str
    """Dotted path, without the dashes."""
    value: str


def split(arguments: Sequence[str]) -> Arguments:
    """Take the `--config` and `--trust` arguments out of a command line.

    Example:
        >>> split(["-c", "a", "--x", "1", "--config=b"])
        Arguments(configs=['a', 'b'], trusted=[], rest=['--x', '1'])
    """
    found = Arguments([], [], [])
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in NEEDS:
            found.rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value or value.startswith("--"):
            raise ConfigError(f"{name} needs a value: {NEEDS[name]}")
        if name == "--trust" and not all(part.isidentifier() for part in value.split(".")):
            raise ConfigError(f"--trust {value}: name a package, such as my_package")
        (found.trusted if name == "--trust" else found.configs).append(value)
    return found


def flags(arguments: Sequence[str]) -> Iterator[Flag]:
    """Iterate over the `--key value` and `--key=value` pairs of a command line.

    Example:
        >>> [flag.key for flag in flags(["--a", "1", "--b=2", "--help", "--c"])]
        ['a', 'b', 'help', 'c']
    """
    for index, word in enumerate(arguments):
        if not word.startswith("--"):
            continue
        key, equals, value = word[2:].partition("=")
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if not equals and not following.startswith("--"):
            value = following
        yield Flag(key, value)


def without(arguments: Sequence[str], key: str) -> list[str]:
    """Take a flag and its value out of a command line.

    Example:
        >>> without(["--a", "1", "--b=2", "--c"], "a"), without(["--a", "1", "--b=2", "--c"], "b")
        (['--b=2', '--c'], ['--a', '1', '--c'])
    """
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == f"--{key}":
            next(words, None)
        elif not word.startswith(f"--{key}="):
            rest.append(word)
    return rest


def parse(text: str) -> Any:
    """Parse YAML exactly as jsonargparse does (`1e-3` is a number)."""
    return get_loader("yaml")(text)


def read(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        ConfigError: It cannot be read, is no YAML (with the line), or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content, twice = parse(text), repeated(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {_one_line(error)}") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML, {error.problem or 'syntax error'}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # numbers and dates may be impossible
        raise ConfigError(f"{path}: not valid YAML, {_one_line(error)}") from error
    if twice:
        raise ConfigError(f"{path}, {twice}")
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(
            f"{path}: expected sections such as 'model:' and 'data:', found {_one_line(text)[:60]!r}"
        )
    for section in ("model", "trainer"):
        if not isinstance(content.get(section) or {}, dict):
            raise ConfigError(
                f"{path}: '{section}' must hold settings, found {_one_line(content[section])!r}"
            )
    if wrong := misshapen(content):
        raise ConfigError(f"{path}: {wrong}")
    return {key: value for key, value in without_empty(content).items() if value is not None}


def without_empty(node: Any) -> Any:
    """Drop `init_args:` that hold nothing, as when every line below is commented out."""
    if isinstance(node, list):
        return [without_empty(item) for item in node]
    if not isinstance(node, dict):
        return node
    empty = {"init_args", "dict_kwargs"} if "class_path" in node else set()
    return {k: without_empty(v) for k, v in node.items() if v is not None or k not in empty}


def _one_line(value: object) -> str:
    return " ".join(str(value).split())

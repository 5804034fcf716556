"""Configurations as plain dictionaries: read them, lay one over the other, make room for flags.

The command line merges its sources itself, checkpoint < configuration files < flags, before jsonargparse sees
them, for two reasons: flags then win wherever they stand, and another class takes its own defaults instead of
inheriting the arguments that happen to have the same name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonargparse import get_loader

from recurlight.errors import RecurlightError

__all__ = [
    "Arguments",
    "ConfigError",
    "Flag",
    "flags",
    "forget_switched",
    "has_key",
    "overlay",
    "read",
    "split",
]

SPEC = {"class_path", "init_args", "dict_kwargs"}


class ConfigError(RecurlightError, ValueError):
    """A configuration file or flag cannot be used."""


class Arguments(NamedTuple):
    """The command line of a subcommand, taken apart."""

    configs: list[str]
    """Values of `--config`, in order."""
    rest: list[str]
    """Everything else, in order."""


class Flag(NamedTuple):
    """One setting of the command line."""

    key: str
    """Dotted path, without the dashes."""
    value: str


def split(arguments: Sequence[str]) -> Arguments:
    """Take the `--config` arguments out of a command line.

    Example:
        >>> split(["-c", "a", "--x", "1", "--config=b"])
        Arguments(configs=['a', 'b'], rest=['--x', '1'])
    """
    configs: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in ("--config", "-c"):
            rest.append(word)
            continue
        found = value if equals else next(words, "")
        if not found or found.startswith("--"):
            raise ConfigError(
                "--config needs a value: a YAML file or a recipe (see: recurlight recipes list)"
            )
        configs.append(found)
    return Arguments(configs, rest)


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
        content = parse(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {_one_line(error)}") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML, {error.problem or 'syntax error'}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML, {_one_line(error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(
            f"{path}: expected sections such as 'model:' and 'data:', found {_one_line(text)[:60]!r}"
        )
    return content


def _one_line(value: object) -> str:
    return " ".join(str(value).split())


def _class_of(node: Any) -> str | None:
    """Return the class that a node names, None when it names none."""
    if isinstance(node, dict):
        node = node.get("class_path")
    return node if isinstance(node, str) and all(part.isidentifier() for part in node.split(".")) else None


def _same_class(one: str, other: str) -> bool:
    """Compare class names where either may be short and one class may be exported under several paths."""
    same_root = "." not in one or "." not in other or one.split(".")[0] == other.split(".")[0]
    return same_root and one.rsplit(".", 1)[-1] == other.rsplit(".", 1)[-1]


def _as_spec(node: dict[str, Any]) -> dict[str, Any]:
    """Write bare arguments, `{count: 3}`, as `{init_args: {count: 3}}`."""
    return node if node.keys() & SPEC else {"init_args": node}


def overlay(under: Any, over: Any) -> Any:
    """Lay one configuration over another.

    Sections merge key by key; lists and values are replaced; a class replaces another class together with its
    arguments, while the same class keeps the arguments that are not given anew.

    Example:
        >>> overlay({"a": {"class_path": "X", "init_args": {"n": 1}}}, {"a": "Y"})
        {'a': 'Y'}
        >>> overlay({"a": {"class_path": "X", "init_args": {"n": 1}}}, {"a": {"n": 2}})
        {'a': {'class_path': 'X', 'init_args': {'n': 2}}}
    """
    old, new = _class_of(under), _class_of(over)
    if old and new:
        if not _same_class(old, new):
            return over
        under, over = ({"class_path": node} if isinstance(node, str) else node for node in (under, over))
    elif old and isinstance(over, dict):
        under, over = {"class_path": under} if isinstance(under, str) else under, _as_spec(over)
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return {
        **under,
        **{key: overlay(under[key], value) if key in under else value for key, value in over.items()},
    }


def _step(node: Any, part: str) -> dict[str, Any] | None:
    """Return the mapping that holds `part` of a dotted path: the node itself or its `init_args`."""
    if not isinstance(node, dict):
        return None
    if part in node:
        return node
    inner = node.get("init_args")
    return inner if isinstance(inner, dict) and part in inner else None


def has_key(config: dict[str, Any], key: str) -> bool:
    """Return whether a dotted path is set in a configuration, `init_args` being optional in it."""
    node: Any = config
    for part in key.split("."):
        holder = _step(node, part)
        if holder is None:
            return False
        node = holder[part]
    return True


def forget_switched(config: dict[str, Any], flag: Flag) -> None:
    """Drop, in place, a node whose class the flag changes, so that the new class starts from its defaults.

    Example:
        >>> config = {"model": {"truncation": {"class_path": "LastCycles", "init_args": {"count": 1}}}}
        >>> forget_switched(config, Flag("model.truncation", "LastUpdates"))
        >>> config
        {'model': {}}
    """
    node: Any = config
    holder: dict[str, Any] | None = None
    parts = flag.key.removesuffix(".class_path").split(".")
    for part in parts:
        holder = _step(node, part)
        if holder is None:
            return
        node = holder[part]
    try:
        new = _class_of(parse(flag.value))
    except yaml.YAMLError:
        return
    old = _class_of(node)
    if holder is not None and old and new and not _same_class(old, new):
        del holder[parts[-1]]

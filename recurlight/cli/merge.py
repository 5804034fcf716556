"""Lay configurations, plain dictionaries, over each other and make room for flags.

The command line merges its sources itself, checkpoint < configuration files < flags, before jsonargparse sees
them, for two reasons: flags then win wherever they stand, and another class takes its own defaults instead of
inheriting the arguments that happen to have the same name.
"""

from __future__ import annotations

from typing import Any

import yaml

from recurlight.cli.config import ConfigError, Flag, parse

__all__ = ["classes", "forget_switched", "has_key", "overlay"]

SPEC = {"class_path", "init_args", "dict_kwargs"}

CALLBACKS = "callbacks"
"""The list that configurations add to, class by class, instead of replacing it."""


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
    arguments, while the same class keeps the arguments that are not given anew. `callbacks` are laid over
    each other by class, `x+` appends to a list, and `callbacks-` takes the classes that it names out.

    Example:
        >>> overlay({"a": {"class_path": "X", "init_args": {"n": 1}}}, {"a": "Y"})
        {'a': 'Y'}
        >>> overlay({"a": {"class_path": "X", "init_args": {"n": 1}}}, {"a": {"n": 2}})
        {'a': {'class_path': 'X', 'init_args': {'n': 2}}}
        >>> overlay({"callbacks": ["X", "Y"]}, {"callbacks-": "X", "callbacks": ["Z"]})
        {'callbacks': ['Y', 'Z']}

    Raises:
        ConfigError: A callback that is to be taken out is not there.
    """
    if not isinstance(under, dict) and not isinstance(over, dict):
        return over
    old, new = _class_of(under), _class_of(over)
    if old and new:
        if not _same_class(old, new):
            return over
        under, over = ({"class_path": node} if isinstance(node, str) else node for node in (under, over))
    elif old and isinstance(over, dict):
        under, over = {"class_path": under} if isinstance(under, str) else under, _as_spec(over)
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    merged = dict(under)
    for key, value in over.items():
        _lay(merged, key, value)
    return merged


def _lay(merged: dict[str, Any], key: str, value: Any) -> None:
    """Lay one setting over those of a section, in place."""
    name = key.rstrip("+")
    if key == f"{CALLBACKS}-":
        merged[CALLBACKS] = _without(_several(merged.get(CALLBACKS)), _several(value))
    elif name != key and (name in merged or name == CALLBACKS):
        merged[name] = [*_several(merged.get(name)), *_several(value)]
    elif key == CALLBACKS and value is not None:
        merged[key] = _by_class(_several(merged.get(key)), _several(value))
    else:
        merged[key] = overlay(merged.get(key, {} if isinstance(value, dict) else None), value)


def _several(node: Any) -> list[Any]:
    """Return a list for one or none."""
    return node if isinstance(node, list) else [] if node is None else [node]


def classes(nodes: Any) -> list[str]:
    """Return the bare names of the classes in a list, or of the one that stands for it.

    Example:
        >>> classes(["mine.Timer", {"class_path": "X"}])
        ['Timer', 'X']
    """
    return [kind.rpartition(".")[2] for kind in map(_class_of, _several(nodes)) if kind]


def _names(node: Any, kind: str | None) -> bool:
    """Return whether a node names a class."""
    named = _class_of(node)
    return bool(named and kind) and _same_class(str(named), str(kind))


def _by_class(under: list[Any], over: list[Any]) -> list[Any]:
    """Lay each node over the first of its class that no other has been laid over; add those without one."""
    merged, free = list(under), list(range(len(under)))
    for node in over:
        place = next((index for index in free if _names(under[index], _class_of(node))), None)
        if place is None:
            merged.append(node)
        else:
            free.remove(place)
            merged[place] = overlay(under[place], node)
    return merged


def _without(under: list[Any], out: list[Any]) -> list[Any]:
    """Take classes out of a list of callbacks."""
    for kind in out:
        if not any(_names(node, _class_of(kind)) for node in under):
            there = ", ".join(classes(under)) or "none"
            raise ConfigError(f"trainer.{CALLBACKS}-: there is no {kind!r} to take out; there are: {there}")
        under = [node for node in under if not _names(node, _class_of(kind))]
    return under


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

"""Lay configurations, plain dictionaries, over each other.

The command line merges its sources itself, checkpoint < configuration files < flags, before jsonargparse sees
them, for two reasons: flags then win wherever they stand, and another class takes its own defaults instead of
inheriting the arguments that happen to have the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recurlight.cli.config import ConfigError

__all__ = ["SPEC", "as_spec", "classes", "has_key", "overlay", "several"]

SPEC = ("class_path", "init_args", "dict_kwargs")
"""Keys under which a class and its arguments stand."""


CALLBACKS = "callbacks"
"""The list that configurations add to, class by class, instead of replacing it."""


def several(given: Any) -> list[Any]:
    """Return a list for one or none."""
    return given if isinstance(given, list) else [] if given is None or isinstance(given, bool) else [given]


def as_spec(node: Any) -> dict[Any, Any]:
    """Write a class's name, or bare arguments, `{count: 3}`, with the keys of `SPEC`."""
    if isinstance(node, str):
        return {"class_path": node}
    return node if node.keys() & set(SPEC) else {"init_args": node}


def _class_of(node: Any) -> str | None:
    """Return the class that a node names, None when it names none."""
    if isinstance(node, dict):
        node = node.get("class_path")
    return node if isinstance(node, str) and all(part.isidentifier() for part in node.split(".")) else None


def _same_class(one: str, other: str) -> bool:
    """Compare class names where either may be short and one class may be exported under several paths."""
    same_root = "." not in one or "." not in other or one.split(".")[0] == other.split(".")[0]
    return same_root and one.rsplit(".", 1)[-1] == other.rsplit(".", 1)[-1]


def overlay(under: Any, over: Any) -> Any:
    """Lay one configuration over another.

    Sections merge key by key; lists and values are replaced; a class replaces another class together with its
    arguments, while the same class keeps the arguments that are not given anew. `callbacks` are laid over
    each other by class, `x+` appends to a list, `callbacks-` takes the classes that it names out first, and
    settings without a class go to the last one of a list.

    Example:
        >>> overlay({"a": {"class_path": "X", "init_args": {"n": 1}}}, {"a": "Y"})
        {'a': 'Y'}
        >>> overlay({"a": {"class_path": "X", "init_args": {"n": 1}}}, {"a": {"n": 2}})
        {'a': {'class_path': 'X', 'init_args': {'n': 2}}}
        >>> overlay({"a": ["X"]}, {"a+": "Y"})
        {'a': ['X', 'Y']}
        >>> overlay({"callbacks": ["X", "Y"]}, {"callbacks-": "X", "callbacks": ["Z"]})
        {'callbacks': ['Y', 'Z']}

    Raises:
        ConfigError: A callback that is to be taken out is not there.
    """
    if isinstance(over, (list, tuple)):
        return [overlay({}, item) for item in over]
    if not isinstance(under, dict) and not isinstance(over, dict):
        return over
    old, new = _class_of(under), _class_of(over)
    # Arguments of a class that a default names may stand below `init_args` in one source, bare in another.
    spelled = isinstance(under, dict) and isinstance(over, dict) and "init_args" in {*under, *over}
    if isinstance(under, list) and under and not new:
        return [*under[:-1], overlay(under[-1], over)]
    if old and new and not _same_class(old, new):
        under = {}
    elif spelled or (old and (new or isinstance(over, dict))):
        under, over = as_spec(under), as_spec(over)
    if not isinstance(over, dict):
        return over
    merged = dict(under) if isinstance(under, dict) else {}
    # What is taken out goes first, wherever it stands: the order of keys in a file means nothing.
    for key, value in sorted(over.items(), key=lambda item: item[0] != f"{CALLBACKS}-"):
        _lay(merged, key, value)
    return merged


def _lay(merged: dict[Any, Any], key: Any, value: Any) -> None:
    """Lay one setting over those of a section, in place."""
    name = str(key).rstrip("+")
    if key == f"{CALLBACKS}-":
        merged[CALLBACKS] = _without(several(merged.get(CALLBACKS)), several(value))
    elif name != str(key):
        merged[name] = [*several(merged.get(name)), *several(overlay({}, value))]
    elif key == CALLBACKS and (isinstance(value, list) or _class_of(value)):
        merged[key] = _by_class(several(merged.get(key)), several(value))
    elif value is not None or key not in SPEC[1:]:  # all lines below may be commented out
        merged[key] = overlay(merged.get(key, {}), value)


def classes(nodes: Any) -> list[str]:
    """Return the bare names of the classes in a list, or of the one that stands for it.

    Example:
        >>> classes(["mine.Timer", {"class_path": "X"}])
        ['Timer', 'X']
    """
    return [kind.rpartition(".")[2] for kind in map(_class_of, several(nodes)) if kind]


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
            merged.append(overlay({}, node))
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


def has_key(node: Any, path: Sequence[Any]) -> bool:
    """Return whether a setting is set in a configuration, wherever `init_args` and lists stand in it."""
    if not path or isinstance(node, list):
        return not path or any(has_key(item, path) for item in node)
    if not isinstance(node, dict):
        return False
    names = (path[0], f"{path[0]}+")
    found = (has_key(node[name], path[1:]) for name in names if name in node)
    return any(found) or has_key(node.get("init_args"), path)

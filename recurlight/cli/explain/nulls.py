"""Settings that are null although their type does not allow it; jsonargparse takes null for "not given"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, get_args

from recurlight.cli.explain.lookup import class_at
from recurlight.spec.names import hints, parameters, products

__all__ = ["wrong_nulls"]


def wrong_nulls(config: Mapping[str, Any], sections: Mapping[str, type]) -> Iterator[tuple[str, str]]:
    """Iterate over the settings that must not be null and are.

    Args:
        config: The configuration as plain data.
        sections: Classes of its sections that name none.

    Yields:
        Dotted path, and the type that is expected.

    Example:
        >>> from recurlight.data import SudokuData
        >>> list(wrong_nulls({"data": {"size": None, "path": None, "num_val": None}}, {"data": SudokuData}))
        [('data.size', 'one of 4, 6, 9, 16'), ('data.num_val', 'int')]
    """
    for name, settings in config.items():
        if isinstance(settings, dict) and name in sections and "class_path" not in settings:
            yield from _in_settings(sections[name], settings, name)
        else:
            yield from _in_tree(settings, name)


def _in_tree(node: Any, path: str) -> Iterator[tuple[str, str]]:
    for item in node if isinstance(node, list) else ():
        yield from _in_tree(item, path)
    if not isinstance(node, dict):
        return
    kind = class_at(node["class_path"]) if isinstance(node.get("class_path"), str) else None
    if kind is not None:
        yield from _in_settings(kind, node.get("init_args") or {}, path)


def _in_settings(kind: type, settings: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    types, known = hints(kind), parameters(kind)
    for name, value in settings.items():
        hint = types.get(name)
        if value is None and name in known and known[name].default is not None and not _optional(hint):
            yield f"{path}.{name}", _readable(hint)
        yield from _in_tree(value, f"{path}.{name}")


def _optional(hint: Any) -> bool:
    return hint in (None, NoneType, Any) or NoneType in get_args(hint)


def _readable(hint: Any) -> str:
    if products(hint):
        return f"a class that makes an {products(hint)[0].__name__}"
    if str(hint).startswith("typing.Literal"):
        return f"one of {', '.join(map(repr, get_args(hint)))}"
    return hint.__name__ if isinstance(hint, type) else str(hint)

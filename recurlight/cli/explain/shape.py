"""The shape of a configuration file: what jsonargparse takes for granted, told in the user's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

__all__ = ["misshapen", "repeated"]

SPEC = ("class_path", "init_args", "dict_kwargs")
SECTIONS = ("model", "trainer")


def repeated(text: str) -> str | None:
    r"""Say which key is set twice in one mapping, or which node holds itself; YAML would keep the last one.

    Example:
        >>> repeated("model:\n  width: 1\n  width: 2")
        "line 3: 'width' is set twice"
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return next(_repetitions(root, ()), None) if root else None


def _repetitions(node: yaml.Node, above: tuple[yaml.Node, ...]) -> Iterator[str]:
    if any(node is other for other in above):
        yield f"line {node.start_mark.line + 1}: an alias refers to what it is part of"
        return
    seen = set()
    for item in node.value if isinstance(node, yaml.CollectionNode) else ():
        for part in item if isinstance(item, tuple) else (item,):
            yield from _repetitions(part, (*above, node))
        if isinstance(item, tuple) and isinstance(item[0], yaml.ScalarNode):
            if item[0].value in seen:
                yield f"line {item[0].start_mark.line + 1}: '{item[0].value}' is set twice"
            seen.add(item[0].value)


def misshapen(content: dict[str, Any]) -> str | None:
    """Say where a configuration does not have the shape of settings and classes; None if it has.

    Example:
        >>> misshapen({"model": {"halting": {"class_path": 3}}})
        'model.halting: 3 is no name of a class, such as LastCycles or mine.MyRefiner'
    """
    settings = _names(content, "")
    inner = (_names(content[key], key) for key in SECTIONS if isinstance(content.get(key), dict))
    return next((text for found in (_classes(content, ""), settings, *inner) for text in found), None)


def _names(settings: dict[Any, Any], path: str) -> Iterator[str]:
    """Check names of settings."""
    for name in settings:
        where = f"{path}: " if path else ""
        if not isinstance(name, str) or not name:
            yield f"{where}{name!r} is no name of a setting"
        elif "." in name:
            outer, _, inner = name.partition(".")
            yield f"{where}write '{name}' as two levels, {outer}: and below it {inner}:"


def _classes(node: Any, path: str) -> Iterator[str]:
    """Check every class, with the names of its arguments, in a tree."""
    if isinstance(node, list):
        for item in node:
            yield from _classes(item, path)
    if not isinstance(node, dict):
        return
    if path and ("class_path" in node or "init_args" in node):
        yield from _class(node, path)
    for name, inner in node.items():
        if isinstance(name, str) and not all(part and len(part.split()) == 1 for part in name.split(".")):
            yield f"{path or 'at the top'}: {name!r} is no name of a setting"
        hidden = name in SPEC or not isinstance(name, str)
        yield from _classes(inner, path if hidden else f"{path}.{name}".lstrip("."))


def _class(spec: dict[Any, Any], path: str) -> Iterator[str]:
    for name in spec:
        if name not in SPEC:
            yield f"{path}: {name!r} stands beside class_path; its arguments belong under init_args"
    kind = spec.get("class_path", "Unnamed")
    if not isinstance(kind, str) or not all(part.isidentifier() for part in kind.split(".")):
        yield f"{path}: {kind!r} is no name of a class, such as LastCycles or mine.MyRefiner"
    for name in SPEC[1:]:
        found = spec.get(name) or {}
        if not isinstance(found, dict):
            yield f"{path}: {name} must hold settings, found {found!r}"
        else:
            yield from _names(found, path)

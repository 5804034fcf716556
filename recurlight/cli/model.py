"""Which class of model a command line means: `RecursiveModule`, or one of the user's that derives from it.

Its class stands beside its arguments, `model: {class_path: mine.Deep, depth: 3}`, so that recipes need not
name one, and changes alone: what a recipe sets is kept, for the class that derives takes it too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from recurlight.cli.merge import overlay

__all__ = ["beside", "merged", "without_class"]

CLASS = "class_path"


def beside(content: dict[str, Any]) -> dict[str, Any]:
    """Write the class of the model beside its arguments, where a configuration says it otherwise.

    Example:
        >>> beside({"model": "mine.Deep"})
        {'model': {'class_path': 'mine.Deep'}}
        >>> beside({"model": {"class_path": "mine.Deep", "init_args": {"depth": 3}}})
        {'model': {'class_path': 'mine.Deep', 'depth': 3}}
    """
    model = content.get("model")
    if isinstance(model, str):
        return content | {"model": {CLASS: model}}
    if isinstance(model, dict) and model.keys() <= {CLASS, "init_args"}:
        given = model.get("init_args") or {}
        kind = {CLASS: model[CLASS]} if CLASS in model else {}
        return content | {"model": kind | given} if isinstance(given, dict) else content
    return content


def without_class(content: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the class of its model."""
    model = content.get("model")
    if not isinstance(model, dict):
        return content
    return content | {"model": {name: value for name, value in model.items() if name != CLASS}}


def merged(contents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Lay configurations over each other, where another class of the model keeps its arguments.

    Example:
        >>> merged([{"model": {"class_path": "a.Deep", "width": 8}}, {"model": {"class_path": "a.Wide"}}])
        {'model': {'width': 8, 'class_path': 'a.Wide'}}
    """
    contents = [*contents]
    config: dict[str, Any] = functools.reduce(overlay, map(without_class, contents), {})
    models = [content["model"] for content in contents if isinstance(content.get("model"), dict)]
    named = [model[CLASS] for model in models if CLASS in model]
    if named and named[-1] is not None and isinstance(config["model"], dict):
        config["model"][CLASS] = named[-1]
    return config

"""Whether the overlays among the recipes stand where they do what they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recurlight.cli.config import ConfigError
from recurlight.cli.merge import classes
from recurlight.cli.recipes import recipe_names

__all__ = ["check_overlays", "require_whole"]

WHOLE = {"refiner", "truncation", "halting"}
"""What a configuration of the model must set; an overlay leaves it to the recipe before it."""


def check_overlays(names: list[str], contents: list[dict[str, Any]], folder: Path) -> None:
    """Refuse an overlay before its recipe, which would undo it, and one for other data.

    Args:
        names: What the user calls the configurations, in their order.
        contents: The configurations.
        folder: Where recipes lie; files of the user's own mean what they say.

    Raises:
        ConfigError: With the command line that is meant.
    """
    recipes = set(recipe_names(folder))
    for place, (name, content) in enumerate(zip(names, contents, strict=True)):
        if name not in recipes or _is_whole(content):
            continue
        later = [other for other, rest in zip(names, contents, strict=True) if _is_whole(rest)]
        if later and names.index(later[0]) > place:
            raise ConfigError(
                f"--config {name} before --config {later[0]} is undone by it: "
                f"write --config {later[0]} --config {name}"
            )
        kind, trained = _data(content), next(filter(None, map(_data, reversed(contents[:place]))), None)
        if kind and trained and kind != trained:
            raise ConfigError(
                f"--config {name} is for {kind}, and the recipe before it trains on {trained}: "
                "for what there is for that see recurlight recipes list"
            )


def require_whole(names: list[str], config: dict[str, Any], folder: Path) -> None:
    """Refuse an overlay of the recipes with nothing below it.

    Args:
        names: What the user calls the configurations, in their order.
        config: All that is set, by a checkpoint and flags too.
        folder: Where recipes lie.

    Raises:
        ConfigError: With the command line that is meant.
    """
    model = config.get("model")
    if not names or not isinstance(model, dict) or model.keys() & WHOLE:
        return
    if {*names} <= {*recipe_names(folder)}:
        after = " ".join(f"--config {name}" for name in names)
        raise ConfigError(
            f"--config {names[0]} changes a recipe and is none: write --config RECIPE {after}, "
            "for what there is see recurlight recipes list"
        )


def _is_whole(content: Mapping[str, Any]) -> bool:
    model = content.get("model")
    return isinstance(model, dict) and model.keys() >= WHOLE


def _data(content: Mapping[str, Any]) -> str | None:
    """Return the bare name of the class of a configuration's data."""
    return next(iter(classes(content.get("data"))), None)

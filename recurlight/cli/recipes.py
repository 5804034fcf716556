"""Recipes: complete YAML configurations that are found by name, and `recurlight recipes list|show|copy`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from recurlight.errors import RecurlightError, suggestion

__all__ = ["RecipeError", "config_path", "describe", "find_recipe", "recipe_names", "recipes_dir", "run"]

USAGE = "recurlight recipes list | show NAME | copy NAME [DEST]"


class RecipeError(RecurlightError, ValueError):
    """A recipe or configuration file cannot be found or written."""


def recipes_dir() -> Path:
    """Return the folder of recipes: inside the package when installed, beside it in a source checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def recipe_names(folder: Path) -> list[str]:
    """Return the names of all recipes under `folder`: their paths without `.yaml`, sorted."""
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def find_recipe(name: str, folder: Path) -> Path:
    """Return the file of a recipe.

    Raises:
        RecipeError: No recipe has that name; the message suggests the nearest one.
    """
    known = recipe_names(folder)
    if name not in known:
        hint = suggestion(name, known)
        raise RecipeError(f"there is no recipe '{name}'{hint or ';'} see: recurlight recipes list")
    return folder / f"{name}.yaml"


def config_path(value: str, folder: Path, flag: str = "--config") -> Path:
    """Return the file meant by `--config VALUE`: an existing file wins over the recipe of that name.

    Raises:
        RecipeError: `value` is neither.
    """
    path = Path(value)
    if path.is_file():
        return path
    if path.is_dir():
        raise RecipeError(f"{flag} {value} is a folder: name a YAML file or a recipe in it")
    known = recipe_names(folder)
    if value in known:
        return folder / f"{value}.yaml"
    hint = suggestion(path.with_suffix("").as_posix(), known)
    raise RecipeError(
        f"{flag} {value} is neither a file nor a recipe{hint or ';'} see: recurlight recipes list"
    )


def describe(path: Path) -> str:
    """Return what a recipe says about itself: its first line, `# name: what it is`, without the name."""
    with path.open(encoding="utf-8") as file:
        first = file.readline().strip()
    return first.lstrip("# ").partition(":")[2].strip() if first.startswith("#") else ""


def _list(folder: Path) -> None:
    names = recipe_names(folder)
    if not names:
        raise RecipeError(f"there are no recipes in {folder}: reinstall recurlight")
    width = max(map(len, names))
    for name in names:
        sys.stdout.write(f"{name:{width}}  {describe(folder / f'{name}.yaml')}".rstrip() + "\n")


def _copy(name: str, destination: Path, folder: Path) -> None:
    source = find_recipe(name, folder)
    target = destination / source.name if destination.is_dir() else destination
    if target.exists():
        raise RecipeError(f"{target} exists already: name another file, recurlight recipes copy {name} DEST")
    if not target.parent.is_dir():
        raise RecipeError(f"the folder {target.parent} does not exist: make it first")
    shutil.copyfile(source, target)
    sys.stdout.write(f"{target}\n")


def run(arguments: Sequence[str], folder: Path | None = None) -> None:
    """Run `recurlight recipes ...`.

    Args:
        arguments: What follows the word `recipes`.
        folder: Where the recipes lie, the package's own folder by default.

    Raises:
        RecipeError: A name, an action or a destination is wrong.
    """
    folder = folder or recipes_dir()
    match list(arguments):
        case [] | ["-h" | "--help"]:
            sys.stdout.write(f"usage: {USAGE}\n")
        case ["list"]:
            _list(folder)
        case ["show", name]:
            sys.stdout.write(find_recipe(name, folder).read_text(encoding="utf-8"))
        case ["copy", name]:
            _copy(name, Path(), folder)
        case ["copy", name, destination]:
            _copy(name, Path(destination), folder)
        case [action, *_] if action not in ("list", "show", "copy"):
            hint = suggestion(action, ("list", "show", "copy"))
            raise RecipeError(f"'{action}' is not an action on recipes{hint or ':'} {USAGE}")
        case _:
            raise RecipeError(f"wrong number of arguments: {USAGE}")

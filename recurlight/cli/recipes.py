"""Recipes: complete YAML configurations that are found by name, and `recurlight recipes list|show|copy`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from recurlight.errors import RecurlightError, suggestion
from recurlight.places import free_place

__all__ = ["RecipeError", "config_path", "recipe_names", "recipes_dir", "run"]

USAGE = "recurlight recipes list | show NAME | copy NAME [DEST] [--schema]"
ABOUT = """List the configurations that come with recurlight, print one, or copy one to change it.

examples:
  recurlight recipes list
  recurlight recipes copy trm_sudoku mine.yaml
  recurlight recipes copy quickstart --schema         beside a schema that editors complete and check by"""
SCHEMA = "recurlight.schema.json"
TITLE = "a configuration of recurlight"
"""Of the schema, by which one of ours is known, and may be replaced."""


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


def find_recipe(name: str, folder: Path, found: str = "") -> Path:
    """Return the file of a recipe.

    Raises:
        RecipeError: No recipe has that name; the message begins with `found` and suggests one.
    """
    known = recipe_names(folder)
    if name in known:
        return folder / f"{name}.yaml"
    hint = suggestion(name.removesuffix(".yaml"), known) or ";"
    raise RecipeError(f"{found or f'there is no recipe {name!r}'}{hint} see: recurlight recipes list")


def config_path(value: str, folder: Path, flag: str = "--config") -> Path:
    """Return the file meant by `--config VALUE`: an existing file wins over the recipe of that name.

    Raises:
        RecipeError: `value` is neither.
    """
    if Path(value).is_dir():
        raise RecipeError(f"{flag} {value} is a folder: name a YAML file or a recipe in it")
    if Path(value).is_file():
        return Path(value)
    return find_recipe(value, folder, f"{flag} {value} is neither a file nor a recipe")


def describe(path: Path) -> str:
    """Return what a recipe says about itself: its first line, `# name: what it is`, without the name."""
    with path.open(encoding="utf-8") as file:
        first = file.readline().strip()
    return first.lstrip("# ").partition(":")[2].strip() if first.startswith("#") else ""


def _list(folder: Path) -> None:
    names = recipe_names(folder)
    width = max(map(len, names))
    for name in names:
        sys.stdout.write(f"{name:{width}}  {describe(folder / f'{name}.yaml')}".rstrip() + "\n")


def _copy(name: str, destination: Path, folder: Path, schema: Callable[[], str] | None) -> None:
    source = find_recipe(name, folder)
    target = destination / source.name if destination.is_dir() else destination
    advice = f"name another file, recurlight recipes copy {name} DEST"
    free_place(target, advice, RecipeError)
    place, text = target.parent / SCHEMA, schema() if schema else ""
    if text and place.exists() and TITLE not in place.read_text("utf-8", errors="replace")[:300]:
        raise RecipeError(f"{place} is no schema of recurlight, and is not replaced: move it away first")
    line = f"# yaml-language-server: $schema=./{SCHEMA}\n" if schema else ""
    target.write_text(line + source.read_text(encoding="utf-8"), encoding="utf-8")
    sys.stdout.write(f"{target}\n")
    if text:  # anew, as it belongs to the version and the plug-ins that are installed
        place.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{place}\n")


def run(
    arguments: Sequence[str], folder: Path | None = None, schema: Callable[[], str] | None = None
) -> None:
    """Run `recurlight recipes ...`.

    Args:
        arguments: What follows the word `recipes`.
        folder: Where the recipes lie, the package's own folder by default.
        schema: Returns the JSON schema of configurations, which takes a while.

    Raises:
        RecipeError: A name, an action or a destination is wrong.
    """
    folder = folder or recipes_dir()
    match list(arguments):
        case [] | ["-h" | "--help"]:
            sys.stdout.write(f"usage: {USAGE}\n\n{ABOUT}\n")
        case ["list"]:
            _list(folder)
        case ["show", name]:
            sys.stdout.write(find_recipe(name, folder).read_text(encoding="utf-8"))
        case ["copy", *words] if 0 < len(rest := [word for word in words if word != "--schema"]) < 3:
            _copy(rest[0], Path(*rest[1:]), folder, schema if "--schema" in words else None)
        case ["list" | "show" | "copy", *_]:
            raise RecipeError(f"wrong number of arguments: {USAGE}")
        case [action, *_]:
            hint = suggestion(action, ("list", "show", "copy"))
            raise RecipeError(f"'{action}' is not an action on recipes{hint or ':'} {USAGE}")

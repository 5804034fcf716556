"""Configurations as a JSON schema for editors, read from the annotations that the command line checks by."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

import docstring_parser
from torch import nn

from recurlight.checkpoints.trust import under
from recurlight.cli.explain import types
from recurlight.spec.annotations import alternatives, holds
from recurlight.spec.names import Setting, levels, supplied, takes_any

__all__ = ["Schema"]

PLAIN = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
LISTED = ("recurlight", "lightning", "torch.optim", nn.Module.__module__)
"""Where the kinds lie of which the classes are listed; of others, any is right."""
PATH = {"type": "string", "pattern": r"^[^\W\d]\w*(\.[^\W\d]\w*)+$", "description": "a class of your own"}
ADDED = {"[+-]$": {"description": "adds to a list, or takes callbacks out of it"}}


class Schema:
    """Writes settings as JSON schema; what classes take is defined once, wherever they stand.

    Example:
        >>> from recurlight import LastCycles
        >>> schema = Schema()
        >>> schema.settings(LastCycles, types.taken(LastCycles))["properties"]["count"]["type"]
        'integer'
    """

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}

    def settings(
        self, made: Any, taken: Mapping[str, Setting], without: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Return the schema of what a class takes, none of which an overlay must set.

        Args:
            made: The class, whose docstring describes its arguments; of a command, None.
            taken: Its settings.
            without: Those that cannot be set.
        """
        told = _told(made)
        found = {
            name: self.value(setting) | ({"description": told[name]} if name in told else {})
            for name, setting in taken.items()
            if name not in without
        }
        opened = made is not None and takes_any(levels(made)[-1])
        return {
            "type": ["object", "null"],
            "properties": found,
            "patternProperties": ADDED,
            "additionalProperties": opened,
        }

    def value(self, setting: Setting) -> dict[str, Any]:
        """Return the schema of a value, any of whose types may fit."""
        options = alternatives(setting.hint)
        options += [type(None)] if setting.default is None and type(None) not in options else []
        found = [self._option(option) for option in options]
        if {} in found:  # whatever it is
            return {}
        plain = setting.default is not None and type(setting.default) in PLAIN
        shown = {"default": setting.default} if plain else {}
        return (found[0] if len(found) == 1 else {"anyOf": found}) | shown

    def _option(self, hint: Any) -> dict[str, Any]:
        origin, parts = get_origin(hint) or hint, get_args(hint)
        if hint in PLAIN:
            return {"type": PLAIN[hint]}
        if origin is Literal:
            return {"enum": [*parts]}
        if found := types.bases(hint):
            return {"anyOf": [self.part(base, supplied(hint)) for base in found]}
        if not holds(hint):
            return {}
        inner = [self.value(Setting(part)) for part in parts if part is not Ellipsis]
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": inner[1] if len(inner) == 2 else True}
        each: dict[str, Any] = {"anyOf": inner} if inner and {} not in inner else {}
        return {"type": "array", "items": each}

    def part(self, base: type, by_caller: int | None = None) -> dict[str, Any]:
        """Return where the classes that derive from one are defined: each with its arguments.

        Args:
            base: Such as `Refiner`.
            by_caller: How many arguments come from whoever makes the object.
        """
        if not under(base.__module__, LISTED):
            return {}
        name = f"{base.__module__}.{base.__qualname__}" + (".factory" if by_caller else "")
        if name not in self.definitions:
            self.definitions[name] = {}  # it may hold itself
            found = (kind for kind in types.offered(base) if base is not nn.Module or _is_cell(kind))
            kinds = sorted(found, key=lambda kind: (kind.__name__, kind.__module__))
            free = {"type": "object", "required": ["class_path"], "properties": {"class_path": PATH}}
            bare = {"type": "object", "not": {"required": ["class_path"]}}  # of the class named before
            classes = [self._named(kind, by_caller) for kind in kinds]
            names = {"enum": [kind.__name__ for kind in kinds]}
            self.definitions[name] = {"anyOf": [names, PATH, *classes, free, bare]}
        return {"$ref": f"#/definitions/{name}"}

    def _named(self, kind: type, by_caller: int | None) -> dict[str, Any]:
        """Return the schema of one class, named alone as only its arguments tell the others apart."""
        taken = dict([*types.taken(kind).items()][by_caller:])
        return {
            "type": "object",
            "description": _summary(kind),
            "required": ["class_path"],
            "additionalProperties": False,
            "properties": {
                "class_path": {"enum": [kind.__name__]},
                "init_args": self.settings(kind, taken),
                "dict_kwargs": {},
            },
        }


def _is_cell(kind: type) -> bool:
    return kind.__module__.startswith("recurlight.cells.")


def _summary(made: Any) -> str:
    return (inspect.getdoc(made) or "").partition("\n\n")[0].replace("\n", " ")


def _told(made: Any) -> dict[str, str]:
    """Return what the docstrings of a class and of its bases say of arguments."""
    found: dict[str, str] = {}
    for level in reversed(levels(made)) if made is not None else ():
        texts = (inspect.getdoc(level), inspect.getdoc(getattr(level, "__init__", None)))
        for text in filter(None, texts):
            params = docstring_parser.parse(text).params
            found |= {p.arg_name: " ".join(p.description.split()) for p in params if p.description}
    return found

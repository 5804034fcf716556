"""What the type hints know: which classes fit a setting, and which settings a class has."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from torch import nn

import recurlight

__all__ = ["TypeLookup", "class_at", "concrete_subclasses", "expected_classes", "parameter_names"]


def class_at(path: str) -> type | None:
    """Import a class by its dotted path; None where there is none."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None) if module else None
    except ImportError:
        return None
    return found if isinstance(found, type) else None


def expected_classes(hint: Any) -> list[type]:
    """Return the classes that a type hint asks for, inside unions, lists and factories.

    Example:
        >>> expected_classes(list[int] | None)
        [<class 'int'>]
        >>> expected_classes(Callable[[int], str])
        [<class 'str'>]
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Callable:
        return expected_classes(arguments[-1]) if arguments else []
    if isinstance(origin, type) and not issubclass(origin, (list, tuple)) and origin.__module__ != "types":
        return [origin] if origin.__module__ not in ("collections.abc", "builtins") else _each(arguments)
    if arguments and (origin is Union or isinstance(origin, type)):
        return _each(arguments)
    return [hint] if isinstance(hint, type) and hint is not type(None) else []


def _each(hints: tuple[Any, ...]) -> list[type]:
    return [found for hint in hints for found in expected_classes(hint)]


def concrete_subclasses(base: type) -> list[type]:
    """Return the public subclasses of a class, itself included, that can be instantiated."""
    found: dict[type, None] = {}
    waiting = [base]
    while waiting:
        kind = waiting.pop()
        if kind in found:
            continue
        found[kind] = None
        waiting += type.__subclasses__(kind)
    return [kind for kind in found if not inspect.isabstract(kind) and not kind.__name__.startswith("_")]


def _fits(kind: type, base: type) -> bool:
    """Leave out what is a module too, but no cell or layer, where any module may stand."""
    other = kind.__module__.partition(".")[0] in ("recurlight", "lightning", "torchmetrics")
    return base is not nn.Module or not other or kind.__module__.startswith("recurlight.cells.")


def parameter_names(kind: type) -> list[str]:
    """Return the names of a constructor's arguments, those of its bases included where it passes them on."""
    names: dict[str, None] = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        names |= dict.fromkeys(p.name for p in parameters if p.kind in named and p.name != "self")
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
            break
    return list(names)


class TypeLookup:
    """Answers what `cli_errors` asks, from the constructors' type hints.

    Args:
        sections: Class of each root section, such as `model`.
        options: The other keys of the root.
    """

    def __init__(self, sections: Mapping[str, type], options: list[str]) -> None:
        self.sections = sections
        self.options = options

    def choices(self, owner: str | None, key: str) -> tuple[str, list[str]]:
        """Return the name of the class expected at a key and the concrete ones that fit, ours first."""
        bases = [base for base in self._expected(owner, key) if base.__module__ != "builtins"]
        names = {kind.__name__ for base in bases for kind in concrete_subclasses(base) if _fits(kind, base)}
        ours = names & set(recurlight.__all__)
        return (bases[0].__name__ if bases else "class"), [*sorted(ours), *sorted(names - ours)]

    def settings(self, owner: str | None, section: str) -> tuple[str, list[str]]:
        """Return the name of a class and its settings: of `owner`, or of the class of a root section."""
        if owner is None and not section:
            return "the command", [*self.sections, *self.options]
        kind = class_at(owner) if owner else self.sections.get(section)
        if kind is None:
            return f"'{section or owner}'", []
        return kind.__name__, parameter_names(kind)

    def _expected(self, owner: str | None, key: str) -> list[type]:
        section, _, name = key.rpartition(".")
        if owner is None and not section:
            return [self.sections[name]] if name in self.sections else []
        kind = class_at(owner) if owner else self.sections.get(section)
        if kind is None:
            return []
        try:
            hints = get_type_hints(kind.__init__)  # type: ignore[misc]
        except (NameError, TypeError):  # a hint that only exists for type checkers
            return []
        return expected_classes(hints.get(name))

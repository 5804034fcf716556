"""Reads the package's `Example:` sections as examples: griffe knows only the plural."""

import re

import griffe


class SingularExample(griffe.Extension):
    """Writes `Examples:` in the docstrings as they are collected; the source keeps the singular."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        if obj.docstring:
            obj.docstring.value = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.M)

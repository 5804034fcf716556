"""YAML that Python programs wrote with their own objects in it, read as plain values without making those."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import yaml

__all__ = ["load"]

PYTHON = "tag:yaml.org,2002:python/"
HELD = ("_content", "_val")
"""Where omegaconf's containers and their items keep what they stand for."""


class _Reader(yaml.SafeLoader):
    """Reads tuples, numpy's numbers and omegaconf's containers as what they stand for."""


def load(text: str) -> Any:
    r"""Return what a YAML file holds; an object that stands for no plain value becomes a text that says so.

    Example:
        >>> load("a: !!python/tuple [1, 2]\nb: !!python/object:os.Thing {c: 3}")
        {'a': [1, 2], 'b': 'a Python object, os.Thing'}
    """
    return yaml.load(text, _Reader)


def _plain(reader: _Reader, kind: str, node: yaml.Node) -> Any:
    """Return what a node of Python's stands for; nothing that it names is imported."""
    path = kind.rpartition(":")[2]
    if isinstance(node, yaml.SequenceNode) and kind == "tuple":
        return reader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.SequenceNode) and re.fullmatch(r"numpy\._?core\.multiarray\.scalar", path):
        return _number(reader, node)
    if isinstance(node, yaml.MappingNode) and path.startswith("omegaconf."):
        members = {key.value: value for key, value in node.value}
        held = next((members[name] for name in HELD if name in members), None)
        return reader.construct_object(held, deep=True) if held else None
    return f"a Python object, {path}"


def _number(reader: _Reader, node: yaml.SequenceNode) -> Any:
    """Return a number of numpy, which is written as its type and its bytes."""
    try:
        kind, content = node.value
        members = {key.value: value for key, value in kind.value}
        code = members["args"].value[0].value
        order = members["state"].value[1].value
        data: bytes = reader.construct_object(content)
        if not re.fullmatch(r"[biuf][1248][<>|=]", code + order):
            raise ValueError(code)
        (number,) = np.frombuffer(data, order + code)
        return number.item()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise yaml.constructor.ConstructorError(
            None, None, f"a number of numpy that cannot be read ({error})", node.start_mark
        ) from error


_Reader.add_multi_constructor(PYTHON, _plain)

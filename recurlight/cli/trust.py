"""Which code the files of a command line may name: what they name is imported, and importing runs it.

Flags are the user's own words, so what they name is allowed. A checkpoint or a configuration may come from a
stranger, so it may name recurlight, torch and Lightning's parts, modules whose files lie in the current
folder or below, classes that installed packages offer, and what `--trust` allows. jsonargparse looks every
name up in these lists before it imports anything, and what it has found once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from jsonargparse import set_parsing_settings

from recurlight.checkpoints.trust import LIBRARIES

__all__ = ["LIGHTNING", "allow", "class_paths"]

PARTS = ("callbacks", "loggers", "plugins", "profilers", "strategies")
LIGHTNING = ("lightning.Callback", *(f"lightning.pytorch.{part}" for part in PARTS))
"""What a trainer is put together from; jsonargparse calls the base of callbacks by the first name."""

CLASS_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")

set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*LIBRARIES, *LIGHTNING])


def allow(packages: Iterable[str]) -> None:
    """Let configurations name these packages too, until the process ends."""
    set_parsing_settings(import_path_allowlist=sorted({*packages}))


def class_paths(node: Any) -> Iterator[str]:
    """Iterate over everything in plain data that could be a class path.

    Example:
        >>> list(class_paths([{"model": {"optimizer": "lion.Lion"}}, {"data": {"class_path": "mine.Data"}}]))
        ['lion.Lion', 'mine.Data']
    """
    if isinstance(node, str) and CLASS_PATH.fullmatch(node):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ():
        yield from class_paths(inner)

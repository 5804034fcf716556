"""Published checkpoints of HRM and TRM as recurlight's own; loaded on first use, as the package itself is."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurlight.interop.errors import PublishedError
    from recurlight.interop.published import Imported, convert, import_published
    from recurlight.interop.reading import PublishedFile, read_published
    from recurlight.interop.settings import SETTINGS, SettingError
    from recurlight.interop.training_data import DataSizes, data_sizes, known_data

_HOMES = {
    "training_data": ("DataSizes", "data_sizes", "known_data"),
    "published": ("Imported", "convert", "import_published"),
    "reading": ("PublishedFile", "read_published"),
    "errors": ("PublishedError",),
    "settings": ("SETTINGS", "SettingError"),
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "SETTINGS",
    "DataSizes",
    "Imported",
    "PublishedError",
    "PublishedFile",
    "SettingError",
    "convert",
    "data_sizes",
    "import_published",
    "known_data",
    "read_published",
]


def __getattr__(name: str) -> Any:
    """Load a name on first use, so that `recurlight import --help` need not wait for torch."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'recurlight.interop' has no attribute {name!r}")
    return getattr(importlib.import_module(f"recurlight.interop.{_HOME_OF[name]}"), name)

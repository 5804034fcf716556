"""Sequences that a rule makes: no pattern shortens them, their answer takes steps of work."""

from __future__ import annotations

import importlib
from typing import Any

_DATA = {
    "AdditionData",
    "ParityData",
    "PermutationData",
    "QueensData",
    "Questions",
    "ReversalData",
    "SequenceData",
    "SortingData",
}


def __getattr__(name: str) -> Any:
    """Load a class on first use, for the rules beside it are read without Lightning."""
    if name not in _DATA:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("recurlight.data"), name)

"""The version, as installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

__all__ = ["version"]


def version() -> str:
    """Return the version of recurlight, `(not installed)` when it runs from a checkout.

    Example:
        >>> isinstance(version(), str)
        True
    """
    try:
        return installed("recurlight")
    except PackageNotFoundError:
        return "(not installed)"

"""The version of the package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["installed_version"]


def installed_version() -> str:
    """Return the version of recurlight; `(not installed)` where a source checkout is used as it is."""
    try:
        return version("recurlight")
    except PackageNotFoundError:
        return "(not installed)"

"""Places to write to: what cannot be written there is said before the work, not after it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from recurlight.errors import RecurlightError

__all__ = ["free_place", "obstacle"]


def free_place(path: str | Path, advice: str, error: type[RecurlightError] = RecurlightError) -> Path:
    """Return where a new file or folder can be written.

    Args:
        path: Of the new file or folder.
        advice: What to do instead.
        error: Raised where something is in the way, see `obstacle`.

    Example:
        >>> free_place(".", "name another file")
        Traceback (most recent call last):
        recurlight.errors.RecurlightError: . exists already: name another file
    """
    if found := obstacle(Path(path), advice):
        raise error(found)
    return Path(path)


def obstacle(target: Path, advice: str) -> str:
    """Say why nothing new can be written there; an empty string where it can.

    Nothing is written over, and no folder is made.

    Args:
        target: Path of the new file or folder.
        advice: What to do instead.
    """
    if os.path.lexists(target):
        return f"{target} exists already: {advice}"
    if not target.parent.is_dir():
        return f"the folder {target.parent} does not exist: make it first"
    try:
        with tempfile.TemporaryFile(dir=target.parent):  # permissions alone do not tell
            return ""
    except OSError as refused:
        return f"{target} cannot be written ({refused.strerror}): {advice}"

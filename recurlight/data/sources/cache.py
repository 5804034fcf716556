"""Files kept between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recurlight.errors import DataError

__all__ = ["cache_folder", "load_arrays", "save_arrays"]


def cache_folder() -> Path:
    """Return `$RECURLIGHT_CACHE`; where it is not set, `recurlight` in `$XDG_CACHE_HOME` or in `~/.cache`.

    A relative `$XDG_CACHE_HOME` is ignored, as the XDG base directory specification asks.
    """
    own = os.environ.get("RECURLIGHT_CACHE")
    if own:
        return Path(own)
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (shared if shared.is_absolute() else Path.home() / ".cache") / "recurlight"


def save_arrays(path: Path, **arrays: NDArray[np.uint8]) -> None:
    """Write arrays under a temporary name and rename it: a reader sees the whole file or none.

    Raises:
        DataError: The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    except OSError as error:
        reason = f"cannot write to {path.parent} ({error.strerror})"
        raise DataError(
            f"{reason}: set the environment variable RECURLIGHT_CACHE to another folder"
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def load_arrays(path: Path) -> dict[str, NDArray[np.uint8]]:
    """Read the arrays of a file that `save_arrays` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}

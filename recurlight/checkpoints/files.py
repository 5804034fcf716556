"""Checkpoint files that are complete or absent, and checked when they are read.

A checkpoint is the zip archive that `torch.save` writes, and such an archive keeps a CRC-32 of each of its
records: reading them all is enough to find damage, in files of other programs too.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import secrets
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.serialization import config

from recurlight.errors import CheckpointError, UntrustedCode, suggestion

__all__ = ["digest", "flaw", "newest_good", "read", "require_file", "verify", "write"]

FOLDER = 0x10

_WHOLE: set[tuple[int, ...]] = set()
"""Files that were found whole in this process: resuming opens a large one twice, and reads all of it once."""


def write(content: dict[str, Any], path: str | Path) -> None:
    """Write a checkpoint so that `path` holds what it held before or all of the new one, at every moment.

    The content is written beside its target, brought to the disk and renamed. When this returns, the name is
    on the disk too, so that an older file may be removed.

    Raises:
        CheckpointError: It cannot be written, such as for want of space; what was there is untouched.
    """
    target, archive = Path(path), io.BytesIO()
    # In memory first: of a write that fails torch tells neither the reason nor the size that was needed.
    with config.patch("save.compute_crc32", True):  # type: ignore[attr-defined]
        torch.save(content, archive)
    body = archive.getbuffer()
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")  # another may write this name, too
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())  # before the rename: a crash must not leave the name of an empty file
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        _sync(target.parent)
    except OSError as error:
        raise CheckpointError(_unwritten(target, len(body), error)) from error


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk; a new name may otherwise be gone after a crash."""
    if os.name == "nt":  # which opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritten(target: Path, size: int, error: OSError) -> str:
    """Say why a checkpoint could not be written, how much room it takes, and what there is instead."""
    detail = f" ({error.filename})"
    if error.filename is None:  # it is not the name with which something is wrong, but the disk
        detail = f", it needs {size:,} bytes and {shutil.disk_usage(target.parent).free:,} are free there"
    other = newest_good(target.parent)
    kept = f"; the newest good one is still there: go on with --ckpt_path {other}" if other else ""
    return f"the checkpoint {target} could not be written: {error.strerror or error}{detail}{kept}"


def newest_good(folder: Path, besides: Path | None = None) -> Path | None:
    """Return the newest checkpoint in a folder that is whole, None when there is none.

    Args:
        folder: Where to look.
        besides: A file to leave out, whatever its name there.
    """
    there = [path for path in folder.glob("*.ckpt") if path.exists()]  # and no link to nothing
    for path in sorted(there, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        with contextlib.suppress(OSError):
            if not (besides and besides.exists() and path.samefile(besides)) and not flaw(path):
                return path
    return None


def flaw(path: str | Path) -> str:
    """Say what is wrong with a file, as far as its checksums tell; an empty string if nothing is."""
    with Path(path).open("rb") as file:
        status = os.fstat(file.fileno())
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if identity in _WHOLE:
            return ""
        try:
            with zipfile.ZipFile(file) as archive:
                # torch leaves the memory of a record as it is where the attributes call it a folder
                folders = any(record.external_attr & FOLDER for record in archive.infolist())
                whole = archive.testzip() is None and not folders
        except Exception:  # damaged headers ask for a password, an unknown method, a negative place, ...
            return "damaged, or no checkpoint"
    if not whole:
        return "damaged, its content does not match its checksums"
    _WHOLE.add(identity)
    return ""


def digest(path: str | Path) -> str:
    """Hash the content of a file to 64 hexadecimal digits.

    Example:
        >>> len(digest(__file__))
        64
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_file(path: str | Path) -> None:
    """Refuse what is no file, with one that may have been meant.

    Raises:
        CheckpointError: There is none, or it is a folder.
    """
    file = Path(path)
    if file.is_dir():
        inside = filter(Path.is_file, file.rglob("*.ckpt"))
        newest = max(inside, key=lambda found: found.stat().st_mtime, default=None)
        advice = f"name a file, such as {newest}" if newest else "there is no checkpoint in it"
        raise CheckpointError(f"{path}: this is a folder; {advice}")
    if not file.is_file():
        near = suggestion(str(file), map(str, file.parent.glob("*.ckpt")))
        raise CheckpointError(f"{path}: there is no such file{near or '; name the file of a checkpoint'}")


def verify(path: str | Path) -> None:
    """Check a file against the checksums that it carries.

    Raises:
        CheckpointError: It was cut off or changed; the message names the newest good one beside it.
    """
    if found := flaw(path):
        raise CheckpointError(_refusal(path, found))


def _refusal(path: str | Path, reason: str) -> str:
    """Say what is wrong with a file, and which one to use instead."""
    other = newest_good(Path(path).parent, besides=Path(path))
    return f"{path}: {reason}" + (f"; the newest good checkpoint beside it is {other}" if other else "")


def read(
    path: str | Path,
    map_location: str | Callable[..., Any] | None = "cpu",
    weights_only: bool | None = True,
    mmap: bool = False,
) -> Any:
    """Load a checkpoint after checking it.

    Args:
        path: File.
        map_location: As in `torch.load`.
        weights_only: As in `torch.load`: False runs code from the file.
        mmap: Leave the weights on the disk until they are used.

    Raises:
        CheckpointError: The file is damaged or no checkpoint.
        UntrustedCode: It holds Python objects; none of them was made.
    """
    verify(path)
    try:
        return torch.load(path, map_location=map_location, weights_only=weights_only, mmap=mmap)
    except pickle.UnpicklingError as error:
        reason = "it holds Python objects beside the weights, none of which was made: "
        advice = "write it with 'recurlight fit', or load it in Python"
        raise UntrustedCode(_refusal(path, reason + advice)) from error
    except (RuntimeError, EOFError, ValueError, LookupError) as error:
        raise CheckpointError(_refusal(path, "damaged, or no checkpoint")) from error

"""Checkpoint files that are complete or absent, and checked when they are read.

A checkpoint is the zip archive that `torch.save` writes, and such an archive keeps a CRC-32 of each of its
records: reading them all is enough to find damage, in files of other programs too.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import secrets
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch.utils.serialization import config

from recurlight.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open can be neither removed nor renamed
    fcntl = None  # type: ignore[assignment]

__all__ = ["flaw", "newest_good", "read", "sweep", "verify", "write"]

PART = ".recurlight-part"

BEGINNING, END, TAIL = b"PK\3\4", b"PK\5\6", 256
"""How an archive begins, and what stands somewhere in its last bytes."""

FOLDER = 0x10

FOREIGN = "it is no archive"
"""A file of an old version of torch, without checksums, or no checkpoint at all."""

_WHOLE: set[tuple[int, ...]] = set()
"""Files that were found whole in this process: resuming opens a large one twice, and reads all of it once."""


class Part(io.FileIO):
    """A new file beside its target, locked as long as it is open and this process lives.

    After a failed write it only counts: torch's writer does not survive an exception, and the size that would
    have been needed is wanted.
    """

    def __init__(self, target: Path) -> None:
        super().__init__(target.with_name(f".{target.name}.{secrets.token_hex(4)}{PART}"), "x")
        self.size = 0
        self.error: OSError | None = None
        with contextlib.suppress(OSError):  # some network file systems know no locks
            _lock(self)

    def write(self, data: Any) -> int:
        """Take the next bytes."""
        rest = memoryview(data)
        self.size += len(rest)
        try:
            while rest and self.error is None:  # a full disk takes a part and fails the next time
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            self.error = error
        return len(data)


def write(content: dict[str, Any], path: str | Path) -> None:
    """Write a checkpoint so that `path` holds what it held before or all of the new one, at every moment.

    The content is written beside its target, brought to the disk and renamed. When this returns, the name is
    on the disk too, so that an older file may be removed.

    Raises:
        CheckpointError: It cannot be written, such as for want of space; what was there is untouched.
    """
    target, size = Path(path), 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Part(target)
        try:
            with config.patch("save.compute_crc32", True):  # type: ignore[attr-defined]
                torch.save(content, part)
            size = part.size
            if part.error is not None:
                raise part.error
            os.fsync(part.fileno())
            if fcntl is None:
                part.close()
            os.replace(part.name, target)
        finally:
            part.close()
            Path(part.name).unlink(missing_ok=True)
        _sync(target.parent)
    except OSError as error:
        raise CheckpointError(_unwritten(target, size, error)) from error


def _lock(file: BinaryIO | io.FileIO) -> None:
    """Lock a file, or raise an `OSError` because another process has."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    if fcntl is None:  # Windows opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritten(target: Path, size: int, error: OSError) -> str:
    """Say why a checkpoint could not be written, how much room it takes, and what there is instead."""
    reason = (error.strerror or str(error)) + (f" ({error.filename})" if error.filename else "")
    if size:
        free = shutil.disk_usage(target.parent).free
        reason += f", it needs {size:,} bytes and {free:,} are free there"
    other = newest_good(target.parent)
    kept = f"; the newest good one is still there: go on with --ckpt_path {other}" if other else ""
    return f"the checkpoint {target} could not be written: {reason}{kept}"


def sweep(folder: Path) -> None:
    """Remove what killed processes left half written in a folder; files that are being written are locked."""
    for part in folder.glob(f".*{PART}"):
        with contextlib.suppress(OSError), part.open("r+b") as file:
            _lock(file)
            part.unlink()


def newest_good(folder: Path, besides: Path | None = None) -> Path | None:
    """Return the newest checkpoint in a folder that is whole, None when there is none.

    Args:
        folder: Where to look.
        besides: A file to leave out, whatever its name there.
    """
    there = [path for path in folder.glob("*.ckpt") if path.exists()]  # and no link to nothing
    for path in sorted(there, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        if besides is not None and besides.exists() and path.samefile(besides):
            continue
        with contextlib.suppress(OSError):
            if not flaw(path):
                return path
    return None


def flaw(path: str | Path) -> str:
    """Say what is wrong with a file, as far as its checksums tell; an empty string if nothing is."""
    with Path(path).open("rb") as file:
        status = os.fstat(file.fileno())
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if identity not in _WHOLE:
            if found := _damage(file, status.st_size):
                return found
            _WHOLE.add(identity)
    return ""


def _damage(file: BinaryIO, size: int) -> str:
    begins = file.read(len(BEGINNING)) == BEGINNING
    file.seek(max(size - TAIL, 0))
    if END not in file.read():
        return f"it does not end as a checkpoint does, after {size:,} bytes" if begins else FOREIGN
    try:
        with zipfile.ZipFile(file) as archive:
            # torch leaves the memory of a record as it is where the attributes call it a folder
            folders = any(record.external_attr & FOLDER for record in archive.infolist())
            whole = archive.testzip() is None and not folders
    except Exception:  # damaged headers ask for a password, an unknown method, a negative place, ...
        whole = False
    return "" if whole else "its content does not match its checksums"


def verify(path: str | Path) -> None:
    """Check a file against the checksums that it carries; one that is no archive carries none.

    Raises:
        CheckpointError: It was cut off or changed; the message names the newest good one beside it.
    """
    if (found := flaw(path)) and found != FOREIGN:
        raise _refusal(path, f"damaged, {found}")


def _refusal(path: str | Path, reason: str) -> CheckpointError:
    """Say what is wrong with a file, and which one to use instead."""
    other = newest_good(Path(path).parent, besides=Path(path))
    advice = f"; the newest good checkpoint beside it is {other}" if other else ""
    return CheckpointError(f"{path}: {reason}{advice}")


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
    """
    verify(path)
    try:
        return torch.load(path, map_location=map_location, weights_only=weights_only, mmap=mmap)
    except pickle.UnpicklingError as error:
        reason = (
            "no checkpoint, or one that holds Python objects beside the weights: "
            "write it with 'recurlight fit', or load it in Python"
        )
        raise _refusal(path, reason) from error
    except (RuntimeError, EOFError, ValueError, LookupError) as error:
        raise _refusal(path, "damaged, or no checkpoint") from error

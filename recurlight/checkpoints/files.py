"""Checkpoint files that are complete or absent, and checked when they are read."""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from recurlight.checkpoints.seal import Sealer, inspect
from recurlight.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open can be neither removed nor renamed
    fcntl = None  # type: ignore[assignment]

__all__ = ["newest_good", "read", "sweep", "verify", "write"]

PART = ".recurlight-part"


def write(content: dict[str, Any], path: str | Path) -> None:
    """Write a checkpoint so that `path` holds what it held before or all of the new one, at every moment.

    The content is written beside its target, brought to the disk and renamed. When this returns, the name is
    on the disk too, so that an older file may be removed.

    Raises:
        CheckpointError: It cannot be written, such as for want of space; what was there is untouched.
    """
    target = Path(path)
    sealer: Sealer | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part, file = _open_part(target)
        try:
            sealer = Sealer(file)
            torch.save(content, cast(Any, sealer))
            sealer.seal()
            if sealer.error is not None:
                raise sealer.error
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()
            os.replace(part, target)
        finally:
            file.close()
            part.unlink(missing_ok=True)
        _sync(target.parent)
    except OSError as error:
        raise CheckpointError(_unwritten(target, sealer.size if sealer else 0, error)) from error


def _open_part(target: Path) -> tuple[Path, BinaryIO]:
    """Open a new file beside the target, locked as long as it is open and this process lives."""
    while True:
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PART}")
        file = cast(BinaryIO, part.open("xb", buffering=0))
        with contextlib.suppress(OSError):  # some network file systems know no locks
            _lock(file)
        if fcntl is None or os.fstat(file.fileno()).st_nlink:
            return part, file
        file.close()  # another process swept it before it was locked


def _lock(file: BinaryIO) -> None:
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
    """Return the newest checkpoint in a folder that matches its checksum, None when there is none.

    Args:
        folder: Where to look.
        besides: A file to leave out, whatever its name there.
    """
    found: list[tuple[int, Path]] = []
    for path in folder.glob("*.ckpt"):
        with contextlib.suppress(OSError):  # a link to nothing
            found.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(found, reverse=True):
        if besides is not None and besides.exists() and path.samefile(besides):
            continue
        with contextlib.suppress(OSError), path.open("rb") as file:
            sealed, flaw = inspect(file)
            if sealed and not flaw:
                return path
    return None


def verify(path: str | Path) -> bool:
    """Check a file against the checksum that it carries, and return whether it carries one.

    Raises:
        CheckpointError: It was cut off or changed; the message names the newest good one beside it.
    """
    with Path(path).open("rb") as file:
        return _verify(file, path)


def _verify(file: BinaryIO, path: str | Path) -> bool:
    sealed, flaw = inspect(file)
    if flaw:
        raise _refusal(path, f"damaged, {flaw}")
    return sealed


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
    """Load a checkpoint after checking it; warn when it carries no checksum.

    Args:
        path: File.
        map_location: As in `torch.load`.
        weights_only: As in `torch.load`: False runs code from the file.
        mmap: Leave the weights on the disk until they are used.

    Raises:
        CheckpointError: The file is damaged or no checkpoint.
    """
    with Path(path).open("rb") as file:
        if not _verify(file, path):  # blamed on this line, so that it is told once for each file
            warnings.warn(f"{path} carries no checksum: damage to it would not be noticed", stacklevel=1)
        file.seek(0)
        source = path if mmap else file
        try:
            return torch.load(source, map_location=map_location, weights_only=weights_only, mmap=mmap)
        except pickle.UnpicklingError as error:
            reason = (
                "no checkpoint, or one that holds Python objects beside the weights: "
                "write it with 'recurlight fit', or load it in Python"
            )
            raise _refusal(path, reason) from error
        except (RuntimeError, EOFError, ValueError) as error:
            raise _refusal(path, "damaged, or no checkpoint") from error

"""The checksum inside a checkpoint file.

A checkpoint is the zip archive that `torch.save` writes, and the archive's comment is the SHA-256 of all that
comes before it. `torch.load` and every other tool read the file as ever; there is no second file that a copy
could lose or a kill leave behind.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import BinaryIO, NamedTuple

__all__ = ["Condition", "Sealer", "inspect"]

SEAL = "recurlight sha256 {}\n"
PATTERN = re.compile(rb"recurlight sha256 ([0-9a-f]{64})\n")
SEAL_LENGTH = 83
ARCHIVE, ARCHIVE_END = b"PK\3\4", b"PK\5\6"
END_LENGTH = 22
"""Bytes of the record that ends an archive; its last two are the length of the comment after it."""
CHUNK = 1 << 20


class Sealer:
    """What `torch.save` writes to: passes bytes on to a file and ends the archive with the checksum.

    After a failed write it only counts bytes: torch's writer does not survive an exception, and the size that
    would have been needed is wanted.

    Args:
        file: Unbuffered file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()
        self.held = b""  # the last bytes so far, in case they are the record that ends the archive
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Take the next bytes."""
        length = len(data)
        if length < END_LENGTH:
            data = self.held + data
        else:
            self._emit(self.held)
        view = memoryview(data)
        self._emit(view[:-END_LENGTH])
        self.held = bytes(view[-END_LENGTH:])
        return length

    def flush(self) -> None:
        """Do nothing: only the archive's end waits, for `seal`."""

    def seal(self) -> None:
        """Write the archive's end, now with a comment, and the comment."""
        assert self.held.startswith(ARCHIVE_END)
        self._emit(self.held[:-2] + SEAL_LENGTH.to_bytes(2, "little"))
        self._emit(SEAL.format(self.digest.hexdigest()).encode())

    def _emit(self, data: bytes | memoryview) -> None:
        self.digest.update(data)
        self.size += len(data)
        rest = memoryview(data)
        try:
            while rest and self.error is None:  # a full disk takes a part and fails the next time
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            self.error = error


class Condition(NamedTuple):
    """What a file says about itself."""

    sealed: bool
    """Whether it carries a checksum."""
    flaw: str
    """What is wrong with it; empty when nothing is, as far as can be told."""


def inspect(file: BinaryIO) -> Condition:
    """Check a file against the checksum that it carries.

    An archive must end with a checksum or, as others write it, without a comment: anything else was cut off
    or changed, so that damage to the checksum itself does not pass for a file without one.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - SEAL_LENGTH, 0))
    tail = file.read()
    if seal := PATTERN.fullmatch(tail):
        fine = _digest(file, size - SEAL_LENGTH) == seal[1].decode()
        return Condition(True, "" if fine else "its content does not match its checksum")
    file.seek(0)
    end = tail[-END_LENGTH:]
    whole = end.startswith(ARCHIVE_END) and end.endswith(b"\0\0")
    if file.read(len(ARCHIVE)) == ARCHIVE and not whole:
        return Condition(False, f"it does not end as a checkpoint does, after {size:,} bytes")
    return Condition(False, "")


def _digest(file: BinaryIO, length: int) -> str:
    """Return the SHA-256 of the first `length` bytes."""
    digest = hashlib.sha256()
    file.seek(0)
    while length and (data := file.read(min(length, CHUNK))):
        digest.update(data)
        length -= len(data)
    return digest.hexdigest()

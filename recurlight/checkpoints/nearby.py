"""Files that a checkpoint names by a relative path, looked for from where the checkpoint lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

__all__ = ["asked_by", "located", "reading"]

_READ: ContextVar[Path | None] = ContextVar("_READ", default=None)


@contextmanager
def reading(checkpoint: str | Path | None) -> Iterator[None]:
    """Say which checkpoint the parts that are made inside are of; None for none."""
    token = _READ.set(None if checkpoint is None else Path(checkpoint).absolute())
    try:
        yield
    finally:
        _READ.reset(token)


def asked_by() -> Path | None:
    """Return the checkpoint whose parts are being made; None where they are of a new model."""
    return _READ.get()


def located(path: str | Path) -> Path:
    """Return where a file is that a part names.

    A relative path means the current folder. Where there is no such file, and the part is of a checkpoint, it
    means the nearest folder around the checkpoint that has it, so that a folder of runs can be used from
    anywhere, and moved.

    Example:
        >>> located("runs/a.ckpt").as_posix()
        'runs/a.ckpt'
    """
    asked, checkpoint = Path(path), _READ.get()
    if checkpoint is None or asked.is_absolute() or asked.is_file():
        return asked
    return next((there for folder in checkpoint.parents if (there := folder / asked).is_file()), asked)

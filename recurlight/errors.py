"""Named errors: each message is one line that says what is wrong, where, and what to type instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointMismatch",
    "DataError",
    "IncompatibleComponents",
    "RecurlightError",
    "Unrecordable",
    "UntrustedCode",
    "suggestion",
]


class RecurlightError(Exception):
    """Base of every error that recurlight raises on purpose."""


class IncompatibleComponents(RecurlightError, ValueError):
    """The refiner, truncation, halting and sizes cannot be composed; raised before the first batch."""


class DataError(RecurlightError, ValueError):
    """A data file cannot be used; the message names the file, the row and the reason."""


class CheckpointMismatch(RecurlightError, ValueError):
    """A checkpoint belongs to another architecture; the message lists the keys that differ."""


class Unrecordable(RecurlightError, ValueError):
    """A part of a model cannot be written into a checkpoint; the message says which and what to do."""

    def __init__(self, text: str, *path: str) -> None:
        super().__init__(f"{'.'.join(path)}: {text}" if path else text)
        self.text, self.path = text, path

    def within(self, name: str) -> Unrecordable:
        """Return the same error, seen from one argument further outside."""
        return Unrecordable(self.text, name, *self.path)


class UntrustedCode(RecurlightError, ValueError):
    """A checkpoint or configuration names code that it may not import; nothing of it was run."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the known word closest to `word`, or an empty string.

    Example:
        >>> suggestion("LastCycle", ["LastCycles", "EveryUpdate"])
        "; did you mean 'LastCycles'?"
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""

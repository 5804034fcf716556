"""Named errors: each message is one line that says what is wrong, where, and what to type instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "CheckpointMismatch",
    "DataError",
    "IncompatibleComponents",
    "Interrupted",
    "NonFiniteError",
    "RecurlightError",
    "Unrecordable",
    "UntrustedCode",
    "suggestion",
]


class RecurlightError(Exception):
    """Base of every error that recurlight raises on purpose."""

    status = 2
    """Status with which the command line ends."""


class IncompatibleComponents(RecurlightError, ValueError):
    """The refiner, truncation, halting and sizes cannot be composed; raised before the first batch."""


class DataError(RecurlightError, ValueError):
    """A data file cannot be used; the message names the file, the row and the reason."""


class CheckpointMismatch(RecurlightError, ValueError):
    """A checkpoint belongs to another architecture; the message lists the keys that differ."""


class CheckpointError(RecurlightError, ValueError):
    """A checkpoint file cannot be written, is damaged or is something else; the message names a good one."""


class NonFiniteError(RecurlightError, ArithmeticError):
    """Training met NaN or infinity; the message names step, rank, tensor and last checkpoint."""


class Interrupted(RecurlightError):
    """A signal ended training between two steps; the message names the checkpoint to go on with.

    Args:
        signum: Number of the signal; the command line ends with status 128 more.
        message: What to tell.
    """

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.status = 128 + signum


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

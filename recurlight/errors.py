"""Named errors: each message is one line that says what is wrong, where, and what to type instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

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
    """Training met NaN or infinity, told with step, rank, tensor and last checkpoint; or a model says NaN."""


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


def suggestion(
    word: str, known: Iterable[str], least: float = 0.6, shown: Mapping[str, str] | None = None
) -> str:
    """Return `"; did you mean 'x'?"` for the known word closest to `word`, or an empty string.

    Args:
        word: What was written.
        known: What could have been meant; the first of equally close ones is shown.
        least: How alike they must be, from 0 to 1.
        shown: What to show in place of some known words.

    Example:
        >>> suggestion("LastCycle", ["LastCycles", "EveryUpdate"])
        "; did you mean 'LastCycles'?"
    """
    likeness = {name: difflib.SequenceMatcher(None, name, word).ratio() for name in known}
    best = max(likeness, key=likeness.__getitem__, default="")
    return f"; did you mean '{(shown or {}).get(best, best)}'?" if likeness.get(best, 0) >= least else ""

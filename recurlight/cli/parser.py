"""The argument parser: jsonargparse's, but its errors are one line and raised, not printed with the usage."""

from __future__ import annotations

from typing import NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from recurlight.cli.explain.rules import Lookup, explain
from recurlight.errors import RecurlightError

__all__ = ["Parser", "UsageError"]


class UsageError(RecurlightError):
    """The command line or a configuration does not describe a run.

    No `ValueError`, which jsonargparse would catch and wrap once more.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}" if key else text)
        self.key = key


class Parser(LightningArgumentParser):
    """Raises `UsageError` where the base class prints its usage and exits."""

    lookup: Lookup | None = None
    """Set on the parsers that users meet; the ones that jsonargparse makes for itself keep its messages."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the message as one line."""
        if self.lookup is None or not self.exit_on_error:
            super().error(message, ex)
        finding = explain(message, self.lookup)
        raise UsageError(finding.key, finding.text) from ex

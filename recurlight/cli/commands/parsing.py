"""What the commands share: their own flags, of which a wrong one is told in one line."""

from __future__ import annotations

import argparse
from typing import NoReturn

from recurlight.errors import RecurlightError

__all__ = ["CommandError", "CommandParser"]


class CommandError(RecurlightError):
    """The command line of a command such as `recurlight doctor` cannot be carried out."""


class CommandParser(argparse.ArgumentParser):
    """Raises where argparse prints its usage and exits."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, with where to look."""
        raise CommandError(f"{message}; see: {self.prog} --help")

"""What the commands share: their own flags, of which a wrong one is told in one line."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from recurlight.errors import RecurlightError, suggestion
from recurlight.places import free_place

__all__ = ["CommandError", "CommandParser", "new_file"]


class CommandError(RecurlightError):
    """The command line of a command such as `recurlight doctor` cannot be carried out."""


class CommandParser(argparse.ArgumentParser):
    """A command's own flags; raises where argparse prints its usage and exits.

    Args:
        command: Such as `doctor`.
        usage: What follows it.
        about: What it does.
        examples: What follows it in command lines that work.
    """

    def __init__(self, command: str, usage: str, about: str, *examples: str) -> None:
        lines = (f"  recurlight {command} {words}".rstrip() for words in examples)
        super().__init__(
            prog=f"recurlight {command}",
            usage=textwrap.fill(f"recurlight {command} {usage}", 100, subsequent_indent=" " * 8),
            description=textwrap.fill(about, 100),
            epilog="\n".join([f"example{'s' * (len(examples) > 1)}:", *lines]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, with where to look."""
        raise CommandError(f"{message}; see: {self.prog} --help")

    def flags(self) -> list[str]:
        """Return the command's own flags, without their dashes."""
        return [flag[2:] for action in self._actions for flag in action.option_strings if flag[:2] == "--"]

    def parse_all(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse a command line on which nothing else may stand.

        Raises:
            CommandError: Something does; the message names the flag that was meant.
        """
        known, others = self.parse_known_args([*arguments])
        if others:
            word = others[0].partition("=")[0]
            meant = suggestion(word, [f"--{flag}" for flag in self.flags()]) or ";"
            raise CommandError(f"{word!r} is not expected here{meant} see: {self.prog} --help")
        return known


def new_file(flag: str, name: str | None, ending: str) -> None:
    """Refuse a name of another kind, and one where nothing can be written; before the work.

    Args:
        flag: What gives the name.
        name: The name; None for no file.
        ending: What it must end in.

    Raises:
        CommandError: With what to give instead.
    """
    if name is None:
        return
    if Path(name).suffix != ending:
        raise CommandError(f"--{flag} {name} has no name of such a file: end it in {ending}")
    free_place(name, f"give another name, --{flag} FILE{ending}", CommandError)

"""Take jsonargparse's messages apart: keys and classes, then reasons, amid advice about itself."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Message", "Place", "one_line", "take_apart"]


class Place(NamedTuple):
    """The place of a class name in the configuration."""

    owner: str | None
    key: str
    path: str


class Message(NamedTuple):
    """A message taken apart."""

    keys: list[tuple[str, str | None]]
    """Key and class given there, from the outside inwards."""
    reasons: list[str]
    exact: str
    """The reason that came with a value of its own, the only one that counts then; may be empty."""
    value: str

    @property
    def path(self) -> str:
        """Dotted path of the setting."""
        return ".".join(key for key, _ in self.keys)

    @property
    def place(self) -> Place:
        """Where a class is expected: the innermost key, in the class around it."""
        owner = self.keys[-2][1] if len(self.keys) > 1 else None
        return Place(owner, self.keys[-1][0] if self.keys else "", self.path)


CALLABLE = re.compile(
    r"Type \S+\[.* expects a function or a callable class: (.*)"
    r"\. Got value: Namespace\(class_path='([^']+)'.*",
    re.DOTALL,
)
FACTORY = re.compile(r"Type \S+\[.* expects a function or a callable class: ")
KEY = re.compile(r'Parser key "([^"]+)"(?:\[\d+\])?:\s*(.*)')
CLASS = re.compile(r"Problem with given class_path '([^']+)':")
VALUE = re.compile(r"\.? ?(?:Got|Given) value:\s*(.*)")
NOISE = re.compile(
    r"Expected a path but|Does not validate against any|Subtypes:|Errors:|Given value type:|"
    r"Subclass types expect|a class path \(str\)|a dict with|a dict without"
)


def one_line(text: object) -> str:
    r"""Put a text on one line.

    Example:
        >>> one_line("a\n   b")
        'a b'
    """
    return " ".join(str(text).split())


def take_apart(message: str) -> Message:
    """Find the keys, the classes, the reasons and the value in a message; drop what explains jsonargparse."""
    message = CALLABLE.sub(r"Problem with given class_path '\2':\n\1", message)
    keys: list[tuple[str, str | None]] = []
    reasons: list[str] = []
    exact = value = ""
    for line in message.splitlines():
        text = FACTORY.sub("", line.strip().removeprefix("- "))
        if found := KEY.match(text):
            if found[1] != "config":  # the configurations are merged: `origin` finds the file
                keys.append((found[1], None))
            text = found[2]
        if (found := CLASS.match(text)) and keys:
            keys[-1] = (keys[-1][0], found[1])
            text = ""
        if found := VALUE.search(text):
            value = value or ("null" if found[1] == "None" else f"'{found[1]}'")
            text = text[: found.start()]
            exact = exact or text
        if text and not NOISE.match(text):
            reasons.append(text)
    return Message(keys, reasons, exact, value)

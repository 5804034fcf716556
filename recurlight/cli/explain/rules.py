"""Turn jsonargparse's messages, many lines with the cause at the end, into one line that says what to type.

Everything here is a function from text to text; what the types know (class and setting names) is asked of
`Lookup`, so that the rules can be tested without torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from recurlight.checkpoints.trust import refusal
from recurlight.cli.explain.message import Message, one_line, take_apart
from recurlight.errors import suggestion

__all__ = ["Finding", "Lookup", "explain"]

MANY = 12
"""Class names listed in a message at most."""


class Lookup(Protocol):
    """What the messages may ask of the types. `owner` is a class path, or None at the root."""

    def choices(self, owner: str | None, key: str) -> tuple[str, list[str]]:
        """Return the name of the class expected at a key and the concrete ones that fit, best first."""
        ...

    def settings(self, owner: str | None, section: str) -> tuple[str, list[str]]:
        """Return the name of a class and its settings: of `owner`, or of the class of a root section."""
        ...


class Finding(NamedTuple):
    """What is wrong and where."""

    key: str
    """Dotted path of the setting, empty where no single one is to blame."""
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


def _short(class_path: str) -> str:
    return class_path.rsplit(".", 1)[-1]


def _offer(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:MANY]) + (", ..." if len(listed) > MANY else "")


def _known(name: str, names: list[str]) -> str:
    """Return a suggestion, or else the names there are."""
    return suggestion(_short(name), names) or (f"; known: {_offer(names)}" if names else "")


def _unknown_key(key: str, lookup: Lookup) -> Finding:
    """Explain a key that is wrong from its root: blame the section if there is none of that name."""
    root, _, rest = key.partition(".")
    name = rest.partition(".")[0]
    title, names = lookup.settings(None, root if rest else "")
    if names:
        name = name or root
        place = f"{root}.{name}" if rest else root
        return Finding(place, f"{title} has no setting '{name}'{_known(name, names)}")
    _, sections = lookup.settings(None, "")
    return Finding(root, f"there is no section '{root}'{_known(root, sections)}")


def _unknown_setting(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    if not message.keys:
        return _unknown_key(found[1], lookup)
    title, names = lookup.settings(message.keys[-1][1], "")
    return Finding(
        f"{message.path}.{found[1]}", f"{title} has no setting '{found[1]}'{_known(found[1], names)}"
    )


def _unknown_class(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    base, names = lookup.choices(message.place.owner, message.place.key)
    return Finding(message.path, f"'{found[1]}' is not a known {base}{_known(found[1], names)}")


def _wrong_base(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    _, names = lookup.choices(message.place.owner, message.place.key)
    return Finding(message.path, f"{found[1]} is no {found[2]}; known: {_offer(names)}")


def _abstract(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    base, names = lookup.choices(message.place.owner, message.place.key)
    nested = re.search(r"NestedArg\(key='([^']*)'", message.value)
    if nested:
        path = message.path
        text = f"set the class first, {path}, then {path}.{nested[1]}; known: {_offer(names)}"
        return Finding(f"{path}.{nested[1]}", text)
    text = f"'{_short(found[1] or base)}' is abstract: choose a class, before any of its settings"
    return Finding(message.path, f"{text}; known: {_offer(names)}")


def _no_module(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    wanted = _innermost_class(message)
    text = f"there is no module '{found[1]}' for {wanted}, neither installed nor in the current folder"
    return Finding(message.path, text)


def _nameless(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    base, names = lookup.choices(message.place.owner, message.place.key)
    return Finding(message.path, f"no {base} is named: set its class_path; known: {_offer(names)}")


def _untrusted(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    return Finding(message.path, refusal(found[1]))


def _innermost_class(message: Message) -> str:
    return (message.keys[-1][1] if message.keys else None) or "the class"


def _no_attribute(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    base, names = lookup.choices(message.place.owner, message.place.key)
    return Finding(message.path, f"{found[1]} has no '{found[2]}', expected {base}{_known(found[2], names)}")


def _unrecognized(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    word = found[1]
    if not word.startswith("--"):
        return Finding("", f"'{word}' is not expected here: settings are written --key value")
    return _unknown_key(word[2:].partition("=")[0], lookup)


def _missing(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    names = ", ".join(name.split(".", 1)[1] for name in found[1].split(", "))
    return Finding(
        "", f"missing: {names}; name a recipe (--config NAME, see: recurlight recipes list) or set each"
    )


def _missing_inner(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    names = ", ".join(f"{message.path}.{name}" for name in found[1].split(", "))
    return Finding("", f"missing: {names}; {_short(_innermost_class(message))} needs it")


def _linked(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    return Finding(found[1], f"this follows from {found[2]}: leave it out")


def _no_value(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    return Finding("", f"{found[1]} needs a value")


def _verbatim(message: Message, found: re.Match[str], lookup: Lookup) -> Finding:
    return Finding(message.path, one_line(found[0]))


Rule = Callable[[Message, "re.Match[str]", Lookup], Finding]

RULES: list[tuple[re.Pattern[str], Rule]] = [
    (re.compile(pattern), rule)
    for pattern, rule in (
        (
            r"(?:Subcommand '\w+' does not accept option|Option) '([^']+)'(?: is not accepted)?$",
            _unknown_setting,
        ),
        (r"Importing 'typing\.\w+' is not allowed", _nameless),  # tried where no class is given
        (r"Importing '([^']+)' is not allowed", _untrusted),
        (r"Multiple subclasses with name .*", _verbatim),
        (r"Expected a dot import path string: (.+)", _unknown_class),
        (r"Expected an instantiatable class, but (.*?) ?is abstract", _abstract),
        (r"Import path (\S+) does not correspond to a subclass of (\S+)", _wrong_base),
        (r"Expected '([^']+)' to be a subclass of <class '(\w+)'>", _wrong_base),
        (r"No module named '([^']+)'", _no_module),
        (r"module '([^']+)' has no attribute '([^']+)'", _no_attribute),
        (r"unrecognized arguments: (\S+)", _unrecognized),
        (r"the following arguments are required: (\w+\..+)", _missing),
        (r"the following arguments are required: (.+)", _missing_inner),
        (r'Linked "([^"]+)" must be given via "([^"]+)"', _linked),
        (r"argument (\S+): expected .*argument", _no_value),
    )
]

TYPE = re.compile(r"Expected an? (.+)")
NOT_SUBCLASS = re.compile(r"Not a valid subclass of (\w+)")


def _readable(kind: str) -> str:
    """Write a type as it reads in YAML.

    Example:
        >>> _readable("<class 'int'>"), _readable("typing.Literal['a', 1]"), _readable("<class 'NoneType'>")
        ('int', "one of 'a', 1", 'null')
    """
    name = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", kind)
    if literal := re.fullmatch(r"typing\.Literal\[(.*)\]", name):
        return f"one of {literal[1]}"
    if name.startswith("import path or a subclass spec"):
        return "a class"
    return {"NoneType": "null", "bool": "true or false"}.get(name, name)


def _wrong_type(message: Message, lookup: Lookup) -> Finding | None:
    """Name all the types that would have fitted, and classes if one is among them."""
    reasons = [message.exact] if message.exact else message.reasons
    found = [TYPE.fullmatch(reason) or NOT_SUBCLASS.fullmatch(reason) for reason in reasons]
    kinds = list(dict.fromkeys(_readable(match[1]) for match in found if match))
    if not kinds:
        return None
    names = lookup.choices(message.place.owner, message.place.key)[1]
    wants_class = any(match and match.re is NOT_SUBCLASS for match in found)
    known = f"; known: {_offer(names)}" if wants_class and names else ""
    return Finding(message.path, f"expected {' or '.join(kinds)}, got {message.value}{known}")


def explain(message: str, lookup: Lookup) -> Finding:
    """Reduce a message of jsonargparse to its cause.

    Args:
        message: What the parser's `error` received.
        lookup: Source of class and setting names.

    Returns:
        The setting to blame and one line of text; the message on one line where no rule fits.
    """
    parts = take_apart(message)
    for pattern, rule in RULES:
        for reason in parts.reasons:
            if found := pattern.match(reason):
                return rule(parts, found, lookup)
    return _wrong_type(parts, lookup) or Finding(parts.path, one_line(" ".join(parts.reasons)))

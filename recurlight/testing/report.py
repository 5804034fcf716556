"""Running checks and reporting what they found."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from recurlight.draw.seeding import generators_kept
from recurlight.errors import RecurlightError, suggestion

__all__ = ["Check", "ContractError", "Findings", "expect", "run"]

Check = Callable[[], None]
"""Returns if all is well, and raises otherwise."""

Findings = dict[str, str | None]
"""What each check found: None, or a message."""


class ContractError(RecurlightError, AssertionError):
    """A part breaks the contract of its axis; the message lists what the checks found."""


def expect(condition: bool, message: str) -> None:
    """Raise the message unless the condition holds; an `assert` would vanish under `python -O`.

    Raises:
        ContractError: It does not.
    """
    if not condition:
        raise ContractError(message)


def run(
    subject: str, checks: Mapping[str, Check], exclude: Mapping[str, str] | None = None, raises: bool = True
) -> Findings:
    """Run checks in their order; where the first one fails the others would only repeat it.

    Args:
        subject: What is checked, for the message.
        checks: By name.
        exclude: Reason for each check that is left out.
        raises: Raise what was found, in place of returning it.

    Raises:
        ContractError: A check found something, or an exclusion is no check's name or has no reason.

    Example:
        >>> run("nothing", {"a": lambda: None, "b": lambda: expect(False, "it is")}, raises=False)
        {'a': None, 'b': 'it is'}
    """
    excluded = exclude or {}
    for name, reason in excluded.items():
        hint = suggestion(name, checks) or f": {', '.join(checks)}"
        expect(name in checks, f"there is no check '{name}'{hint}")
        expect(bool(reason.strip()), f"exclude={{'{name}': ...}} needs a reason")
    findings: Findings = {}
    for name, check in checks.items():
        if name not in excluded:
            findings[name] = _found(check)
        if name == next(iter(checks)) and findings.get(name):
            break
    failed = [f"  {name}: {message}" for name, message in findings.items() if message]
    if failed and raises:
        raise ContractError("\n".join([f"{subject} breaks its contract", *failed]))
    return findings


def _found(check: Check) -> str | None:
    """Run one check and return what it says in one line."""
    try:
        with generators_kept():
            check()
    except ContractError as error:
        return str(error)
    except RecurlightError as error:
        return " ".join(str(error).split())
    except Exception as error:  # whatever a user's class raises is a finding, with its place in the traceback
        first = next(iter(str(error).strip().splitlines()), "")
        return f"{type(error).__name__}: {first}"
    return None

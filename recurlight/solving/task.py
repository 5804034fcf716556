"""How the questions of a checkpoint are written and its answers judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recurlight.checkpoints.contents import data_made_with, task_in
from recurlight.checkpoints.trust import Trust
from recurlight.data.rules import Rules
from recurlight.errors import CheckpointMismatch, RecurlightError, UntrustedCode
from recurlight.rendering.wording import Wording
from recurlight.spec import from_spec

__all__ = ["Task", "task_of"]


class Task(NamedTuple):
    """What a task says of itself, without its puzzles.

    Attributes:
        wording: How questions and answers are written; None where that is not known.
        rules: What tells right answers from wrong ones; None where nothing does.
        why: What to know where there is no wording.
    """

    wording: Wording | None
    rules: Rules | None
    why: str = "they are no single grid of tokens, or its training had no data that say it"


def task_of(checkpoint: Mapping[str, Any], trust: Sequence[str] = ()) -> Task:
    """Make what a checkpoint tells of its task.

    Older checkpoints do not tell it, and their data are made and asked, which imports Lightning; no puzzle is
    made, but data that lie in files are read.

    Args:
        checkpoint: Its content.
        trust: Packages whose classes it may name beside recurlight's and your own.
    """
    try:
        told = task_in(checkpoint)
        if told is None and (made := data_made_with(checkpoint)):
            return _asked(made, trust)
        parts = {name: from_spec(spec, Trust(trust)) for name, spec in (told or {}).items()}
        wording, rules = parts.get("wording"), parts.get("rules")
    except (CheckpointMismatch, UntrustedCode):
        raise
    except RecurlightError as error:
        return Task(None, None, f"its data cannot be made here: {error}")
    return Task(
        wording if isinstance(wording, Wording) else None, rules if isinstance(rules, Rules) else None
    )


def _asked(made: dict[str, Any], trust: Sequence[str]) -> Task:
    """Ask the data that a checkpoint names."""
    from recurlight.data import PuzzleData

    data = from_spec(made, Trust(trust))
    if not isinstance(data, PuzzleData):
        raise CheckpointMismatch(f"it names {made['class_path']} for its data, which are no PuzzleData")
    return Task(data.wording(), data.rules())

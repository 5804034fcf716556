"""`recurlight schema`: what configurations may say, for editors that complete and check as one types."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from recurlight.cli.commands.parsing import CommandParser
from recurlight.cli.recipes import TITLE

__all__ = ["run", "schema", "text"]


def _parser() -> CommandParser:
    return CommandParser(
        "schema",
        "> FILE.json",
        "Print a JSON schema of configurations: sections, classes by their kind, also those of installed "
        "plug-ins, what they take, and what that means. Editors complete and check by it; see also "
        "recurlight recipes copy NAME --schema.",
        "> recurlight.schema.json",
    )


def run(arguments: Sequence[str]) -> None:
    """Carry out `recurlight schema`.

    Raises:
        RecurlightError: Something follows.
    """
    _parser().parse_all(arguments)
    sys.stdout.write(text())


def text() -> str:
    """Return the schema as a file has it."""
    return f"{json.dumps(schema(), indent=1)}\n"


def schema() -> dict[str, Any]:
    """Return the schema of all configurations of `fit`, `test` and `predict`, overlays among them."""
    from lightning.pytorch import Trainer

    from recurlight.checkpoints.contents import FROM_DATA
    from recurlight.checkpoints.plugins import offered_names
    from recurlight.checkpoints.trust import Trust
    from recurlight.cli.app import own
    from recurlight.cli.explain import types
    from recurlight.cli.explain.schema import Schema
    from recurlight.data import PuzzleData
    from recurlight.spec.names import Setting
    from recurlight.training.module import RecursiveModule

    types.import_parts()
    for name in offered_names():
        Trust()(name)
    made = Schema()
    model = made.settings(RecursiveModule, types.settings(RecursiveModule), FROM_DATA)
    own_class = {"if": {"required": ["class_path"]}, "then": {"type": ["object", "string"]}, "else": model}
    beside = {name: Setting(kind, default) for name, (kind, default, _) in own("test").items()}
    beside["ckpt_path"] = Setting(str | None, None)
    whole = made.settings(None, beside)
    sections = {
        "model": own_class,
        "data": made.part(PuzzleData),
        "trainer": made.settings(Trainer, types.settings(Trainer)),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": TITLE,
        **whole,
        "properties": sections | whole["properties"],
        "definitions": made.definitions,
    }

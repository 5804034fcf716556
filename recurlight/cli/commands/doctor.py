"""`recurlight doctor --ckpt_path FILE`: what the dynamics of a trained model are like, with verdicts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from recurlight.cli.commands.parsing import CommandError, CommandParser, new_file
from recurlight.errors import CheckpointError
from recurlight.spec.given import within

if TYPE_CHECKING:
    from recurlight.cli.app import RecurlightCLI
    from recurlight.types import Batch

__all__ = ["run"]

_UNTRAINED = "doctor examines a trained model: give its checkpoint, --ckpt_path FILE"


def _parser() -> CommandParser:
    parser = CommandParser(
        "doctor",
        "--ckpt_path FILE [--samples N] [--json] [--picture FILE.png] [--KEY VALUE]",
        "Examine the dynamics of a trained model on its validation puzzles. Model and data come from the "
        "checkpoint; other settings as for recurlight validate.",
        "--ckpt_path x.ckpt",
        "--ckpt_path x.ckpt --samples 256 --picture curves.png",
    )
    parser.add_argument("--samples", type=int, default=64, help="validation puzzles to look at; 64")
    parser.add_argument("--json", action="store_true", help="print figures and curves as JSON")
    parser.add_argument("--picture", metavar="FILE.png", help="draw residuals and reliability; needs viz")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Carry out `recurlight doctor ...`.

    Raises:
        RecurlightError: The command line or the checkpoint is wrong, or there is nothing to examine.
    """
    parser = _parser()
    asked, rest = parser.parse_known_args(list(arguments))
    within("doctor", "samples", asked.samples, 1, error=CommandError)
    if not any(word.startswith("--ckpt_path") for word in rest):
        raise CheckpointError(_UNTRAINED)
    from recurlight.cli.app import run as carry_out
    from recurlight.rendering.sheet import require_matplotlib

    new_file("picture", asked.picture, ".png")
    if asked.picture:
        require_matplotlib("--picture")
    carry_out("validate", rest, partial(_examine, asked), "doctor", parser.flags())


def _examine(asked: argparse.Namespace, made: RecurlightCLI) -> None:
    """Examine the model of a checkpoint, and print what was found."""
    from recurlight.callbacks.doctor import examined
    from recurlight.diagnostics import picture
    from recurlight.training.naming import digests, others

    checkpoint, model, data = made.request.checkpoint, made.model, made.datamodule
    if not checkpoint:
        raise CheckpointError(_UNTRAINED)
    data.setup("validate")
    model.on_load_checkpoint(checkpoint)
    model.load_state_dict(checkpoint["state_dict"])
    model.to(made.trainer.strategy.root_device)
    others(model.recursion, model.names, digests(data), told_apart=model.recursion.sizes.prefix > 0)
    report = examined(model, [*_first(asked.samples, made)])
    text = json.dumps(report.plain(), indent=2) if asked.json else report.text()
    sys.stdout.write(f"{text}\n")
    if asked.picture:
        picture(report).savefig(asked.picture)


def _first(samples: int, made: RecurlightCLI) -> Iterator[Batch]:
    """Yield so many validation puzzles, on the device of the model."""
    from recurlight.types import Batch

    device, left = made.trainer.strategy.root_device, samples
    for batch in made.datamodule.val_dataloader():
        part = Batch(*(field[:left].to(device) for field in batch))
        yield part
        left -= len(part.task)
        if left <= 0:
            return

"""`recurlight trace --ckpt_path FILE`: one test puzzle being solved, as a page that plays it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recurlight.cli.commands.parsing import CommandError, CommandParser, new_file
from recurlight.errors import CheckpointError
from recurlight.spec.given import within

if TYPE_CHECKING:
    from recurlight.cli.app import RecurlightCLI
    from recurlight.tracing import Replay
    from recurlight.types import Batch

__all__ = ["run"]

_UNTRAINED = "trace shows a trained model: give its checkpoint, --ckpt_path FILE"


def _parser() -> CommandParser:
    parser = CommandParser(
        "trace",
        "--ckpt_path FILE [--index N | --question TEXT] [--out FILE.html] [--png FILE.png] [--gif FILE.gif] "
        "[--KEY VALUE]",
        "Solve a test puzzle as recurlight predict does, and write a page that plays every update: what the "
        "levels say, how sure, halting score and residual. Model and data come from the checkpoint; other "
        "settings as for recurlight predict, such as --model.eval_segments 4.",
        "--ckpt_path x.ckpt --index 3 --out puzzle3.html",
    )
    parser.add_argument("--index", type=int, help="which test puzzle, counted from 0; 0")
    parser.add_argument("--question", metavar="TEXT", help="a puzzle of your own, as for recurlight solve")
    parser.add_argument("--out", metavar="FILE.html", default="trace.html", help="a new file; trace.html")
    parser.add_argument("--png", metavar="FILE.png", help="also a picture of the segments; needs viz")
    parser.add_argument("--gif", metavar="FILE.gif", help="also a film of the updates; needs viz")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Carry out `recurlight trace ...`.

    Raises:
        RecurlightError: The command line or the checkpoint is wrong, or there is no such puzzle.
    """
    parser = _parser()
    asked, rest = parser.parse_known_args(list(arguments))
    if asked.question is not None and asked.index is not None:
        raise CommandError("--index and --question ask for two puzzles: give one of them")
    within("trace", "index", asked.index or 0, 0, error=CommandError)
    if not any(word.startswith("--ckpt_path") for word in rest):
        raise CheckpointError(_UNTRAINED)
    for flag, ending in (("out", ".html"), ("png", ".png"), ("gif", ".gif")):
        new_file(flag, getattr(asked, flag), ending)
    from recurlight.cli.app import run as carry_out
    from recurlight.rendering.sheet import require_matplotlib

    if asked.png or asked.gif:
        require_matplotlib("--png" if asked.png else "--gif")
    carry_out("predict", rest, partial(_trace, asked), "trace", parser.flags())


def _trace(asked: argparse.Namespace, made: RecurlightCLI) -> None:
    """Solve the puzzle, and write what was asked for."""
    from recurlight.tracing import page

    found = _solved(asked, made)
    written: dict[str, Callable[[], object]] = {}
    written[asked.out] = partial(Path(asked.out).write_text, page(found), "utf-8")
    if asked.png or asked.gif:
        from recurlight.tracing.pictures import film, filmstrip

        for name, draw in ((asked.png, filmstrip), (asked.gif, film)):
            if name:
                written[name] = partial(draw, found, name)
    for name, write in written.items():
        write()
        sys.stdout.write(f"{name}: {found.summary()}\n")


def _solved(asked: argparse.Namespace, made: RecurlightCLI) -> Replay:
    """Solve the batch of one puzzle as the trainer would; a question that was given is a batch alone."""
    from recurlight.callbacks.traces import replayed
    from recurlight.training.evaluating import as_evaluated
    from recurlight.training.naming import digests, others

    checkpoint, model, data = made.request.checkpoint, made.model, made.datamodule
    if not checkpoint:
        raise CheckpointError(_UNTRAINED)
    data.setup("predict")
    index, name = asked.index or 0, type(data).__name__
    if asked.question is None:
        (number, row, batch), title = _place(index, made), f"{name}, test puzzle {index}"
    else:
        number, row, batch, title = 0, 0, _asked(asked.question, made), f"{name}, a question"
    model.on_load_checkpoint(checkpoint)
    model.load_state_dict(checkpoint["state_dict"])
    model.eval().to(made.trainer.strategy.root_device)
    apart = model.recursion.sizes.prefix > 0
    model.other_tasks = others(model.recursion, model.names, digests(data), told_apart=apart)
    precision = made.trainer.precision_plugin.forward_context()
    with precision, as_evaluated(model, batch, number, data.eval_batch_size):
        return replayed(model, batch, data, row, title)


def _asked(text: str, made: RecurlightCLI) -> Batch:
    """Read a question as `recurlight solve` does; its answer is not known."""
    import torch

    from recurlight.solving import load
    from recurlight.types import IGNORE, Batch

    solver = load(made.config.ckpt_path, trust=made.request.packages)
    sizes = solver.recursion.sizes
    if sizes.prefix and sizes.tasks > 1:
        raise CommandError(
            f"--question does not say its task, and the model tells {sizes.tasks} apart: give --index"
        )
    inputs = solver.read(text)
    fields = inputs, torch.full_like(inputs, IGNORE), torch.zeros(1, dtype=torch.int64)
    return Batch(*(field.to(made.trainer.strategy.root_device) for field in fields))


def _place(index: int, made: RecurlightCLI) -> tuple[int, int, Batch]:
    """Find a puzzle: the number of its batch, its row there, and the batch."""
    from recurlight.types import Batch

    device, before = made.trainer.strategy.root_device, 0
    for number, batch in enumerate(made.datamodule.test_dataloader()):
        count = int(batch.asked().sum())  # padding comes last
        if index < before + count:
            return number, index - before, Batch(*(field.to(device) for field in batch))
        before += count
    there = f"give from 0 to {before - 1}" if before else "there are none"
    raise CommandError(f"--index {index} is no test puzzle: {there}")

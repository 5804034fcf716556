"""`recurlight export --ckpt_path FILE --out FOLDER`: a trained model as programs for other places."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recurlight.cli.commands.parsing import CommandError, CommandParser
from recurlight.errors import CheckpointError

__all__ = ["run"]


def _parser() -> CommandParser:
    parser = CommandParser(
        "export",
        "--ckpt_path FILE --out FOLDER [--segments N] [--trust PACKAGE]",
        "Write a trained model into a new folder: solve.pt2, all segments as one program of torch.export, "
        "and segment.pt2, one; as far as their packages are installed, solve.onnx and weights.safetensors; "
        "and description.json, which says what they take.",
        "--ckpt_path x.ckpt --out exported --segments 16",
    )
    parser.add_argument("--ckpt_path", metavar="FILE", help="the trained model")
    parser.add_argument("--out", metavar="FOLDER", help="a folder that does not exist yet")
    parser.add_argument(
        "--segments", type=int, metavar="N", help="segments that solve runs; as the checkpoint says. Writing "
        "a program takes longer the more there are",
    )  # fmt: skip
    parser.add_argument("--trust", action="append", default=[], metavar="PACKAGE", help="may be named by it")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Carry out `recurlight export ...`.

    Raises:
        RecurlightError: The command line or the checkpoint is wrong, or a part cannot be exported.
    """
    asked = _parser().parse_all(arguments)
    if not asked.ckpt_path:
        raise CheckpointError("export writes a trained model: give its checkpoint, --ckpt_path FILE")
    if not asked.out:
        raise CommandError("there is no folder to write to: give a new one, --out FOLDER")
    from recurlight.solving import load

    written = load(asked.ckpt_path, trust=asked.trust).export(asked.out, asked.segments)
    lines = [f"written: {path}" for path in written.files]
    lines += [f"left out: {name} ({why})" for name, why in written.left_out.items()]
    sys.stdout.write("".join(f"{line}\n" for line in lines))

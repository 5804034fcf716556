"""`recurlight generate --ckpt_path FILE --prompt TEXT`: a trained language model writes on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import chain

from recurlight.cli.commands.parsing import CommandError, CommandParser
from recurlight.errors import CheckpointError

__all__ = ["run"]


def _parser() -> CommandParser:
    parser = CommandParser(
        "generate",
        "--ckpt_path FILE --prompt TEXT [--count N] [--temperature T]",
        "Write on from a text, token by token, each thought about until it is settled. The text goes to "
        "standard output as it is written, the mean number of segments to standard error.",
        '--ckpt_path x.ckpt --prompt "def " --count 100                   the likeliest text',
        '--ckpt_path x.ckpt --prompt "def " --temperature 0.8 --top_k 20  drawn',
    )
    parser.add_argument("--ckpt_path", metavar="FILE", help="the trained model")
    parser.add_argument("--prompt", metavar="TEXT", help="how the text begins")
    parser.add_argument("--count", type=int, metavar="N", help="tokens at most; what the positions hold")
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="T", help="0 for the likeliest token; 0"
    )
    parser.add_argument("--top_k", type=int, metavar="N", help="draw from the N likeliest alone; from all")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws; 0")
    parser.add_argument("--segments", type=int, metavar="N", help="segments at most; the checkpoint's number")
    parser.add_argument(
        "--last", action="store_true", help="let every segment see the last segment of the tokens before"
    )
    parser.add_argument("--device", default="cpu", help="where to write, such as cuda; cpu")
    parser.add_argument("--trust", action="append", default=[], metavar="PACKAGE", help="may be named by it")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Carry out `recurlight generate ...`.

    Raises:
        RecurlightError: The command line, the checkpoint or the prompt is wrong; nothing was written.
    """
    asked = _parser().parse_all(arguments)
    if not asked.ckpt_path:
        raise CheckpointError("generate asks a trained model: give its checkpoint, --ckpt_path FILE")
    if not asked.prompt:
        raise CommandError("there is no prompt: give how the text begins, --prompt TEXT")
    from recurlight.solving import load

    solver = load(asked.ckpt_path, asked.device, asked.trust)
    names = ("count", "temperature", "top_k", "seed", "segments", "last")
    pieces = solver.generate(asked.prompt, **{name: getattr(asked, name) for name in names})
    first = next(pieces, None)  # what is wrong is said before anything is written
    sys.stdout.write(asked.prompt)
    spent = []
    for piece in chain([first] if first else [], pieces):
        sys.stdout.write(piece.text)
        sys.stdout.flush()
        spent.append(piece.segments)
    mean = sum(spent) / max(len(spent), 1)
    sys.stdout.write("\n")
    sys.stderr.write(f"{len(spent)} tokens, {mean:.2f} segments each\n")

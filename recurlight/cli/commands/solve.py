"""`recurlight solve --ckpt_path FILE QUESTION ...`: what a trained model answers, without training code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurlight.cli.commands.parsing import CommandError, CommandParser
from recurlight.errors import CheckpointError, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from recurlight.solving import Answer, Solver

__all__ = ["run"]


def _parser() -> CommandParser:
    parser = CommandParser(
        "solve",
        "--ckpt_path FILE [--file FILE] [--json] [--segments N] [QUESTION ...]",
        "Answer questions with a trained model: one by a picture, several by a line each, with how sure the "
        "model is, the segments used, and whether the rules of the task hold.",
        "--ckpt_path x.ckpt 1............2..                a 4x4 Sudoku row by row, . for empty",
        "--ckpt_path x.ckpt --file puzzles.csv --json       its column question; or a text's lines",
        "--ckpt_path x.ckpt - < puzzles.txt                 likewise, from another program",
        "--ckpt_path x.ckpt -- ---Q                         a question that begins with a dash",
    )
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help="a text; - for standard input")
    parser.add_argument("--ckpt_path", metavar="FILE", help="the trained model")
    parser.add_argument("--file", metavar="FILE", help="questions in a text, CSV or JSON-lines file")
    parser.add_argument("--json", action="store_true", help="print one object a line")
    parser.add_argument("--segments", type=int, metavar="N", help="segments at most; the checkpoint's number")
    parser.add_argument(
        "--task", type=int, metavar="N", help="number of the task, for models that ask for it"
    )
    parser.add_argument("--device", default="cpu", help="where to answer, such as cuda; cpu")
    parser.add_argument("--trust", action="append", default=[], metavar="PACKAGE", help="may be named by it")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Carry out `recurlight solve ...`.

    Raises:
        RecurlightError: The command line, the checkpoint or a question is wrong; nothing was answered.
    """
    asked = _parser().parse_all(arguments)
    if not asked.ckpt_path:
        raise CheckpointError("solve asks a trained model: give its checkpoint, --ckpt_path FILE")
    texts = [*_texts(asked.questions, asked.file)]
    if not texts:
        raise CommandError("there is no question: give one as a text, --file FILE, or - for standard input")
    from recurlight.solving import load

    solver = load(asked.ckpt_path, asked.device, asked.trust)
    answers = solver.solve(_read(solver, texts), segments=asked.segments, task=asked.task)
    if asked.json:
        lines = [json.dumps(_plain(text, one)) for (_, text), one in zip(texts, answers, strict=True)]
    elif len(answers) == 1:
        lines = [_drawn(answers[0]), ", ".join(_told(answers[0]))]
    else:
        lines = ["  ".join([_in_a_line(one), *_told(one)]) for one in answers]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _texts(words: Sequence[str], file: str | None) -> Iterator[tuple[str, str]]:
    """Yield every question, and where it stands."""
    for number, word in enumerate(words, 1):
        if word == "-":
            yield from _lines("standard input", sys.stdin.read())
        else:
            yield f"question {number}", word
    if file is not None:
        yield from _file(Path(file))


def _file(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the questions of a file."""
    if not path.is_file():
        why = "this is a folder" if path.is_dir() else "there is no such file"
        raise CommandError(f"--file {path}: {why}; name a text, CSV or JSON-lines file of questions")
    if not path.name.lower().removesuffix(".gz").endswith((".csv", ".jsonl")):
        try:
            yield from _lines(str(path), path.read_text("utf-8-sig"))
        except (UnicodeDecodeError, OSError) as error:
            raise CommandError(f"--file {path}: cannot be read as UTF-8 text, a question a line") from error
        return
    from recurlight.data.table.files import read_table

    table = read_table(path)
    for line, question in zip(table.lines, table.columns["question"], strict=True):
        yield f"{path}, row {line}", question if isinstance(question, str) else json.dumps(question)


def _lines(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield a question a line; empty lines are passed over."""
    for number, line in enumerate(text.splitlines(), 1):
        if line:
            yield f"{name}, line {number}", line


def _read(solver: Solver, texts: Sequence[tuple[str, str]]) -> Tensor:
    """Turn all texts into tokens before anything is answered."""
    import torch

    found = []
    for where, text in texts:
        try:
            found.append(solver.read(text))
        except DataError as error:
            raise DataError(f"{where}: {error}" if len(texts) > 1 else str(error)) from None
    return torch.cat(found)


def _told(answer: Answer) -> list[str]:
    """Say how an answer came about."""
    sure = [] if answer.confidence is None else [f"confidence {answer.confidence:.1%}"]
    count = f"{answer.segments} segment{'s' * (answer.segments != 1)}"
    kept = [] if answer.holds is None else ["the rules hold" if answer.holds else "the rules do not hold"]
    return [*sure, count, *kept]


def _drawn(answer: Answer) -> str:
    """Draw an answer; a text that ends where it says is shown as one."""
    wording = answer.wording
    return str(answer.text) if wording and wording.ends and wording.shape[0] == 1 else answer.picture()


def _in_a_line(answer: Answer) -> str:
    return str(answer.text).replace("\n", " / ")


def _plain(question: str, answer: Answer) -> dict[str, Any]:
    """Return an answer as plain data."""
    return {
        "question": question,
        "answer": answer.text,
        "tokens": answer.tokens.tolist(),
        "segments": answer.segments,
        "confidence": answer.confidence,
        "holds": answer.holds,
    }

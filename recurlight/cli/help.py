"""The help of a command: a page that fits a screen, and behind it the settings of one section."""

from __future__ import annotations

import re
from collections.abc import Sequence

from recurlight.errors import RecurlightError, suggestion

__all__ = ["COMMANDS", "PAGE", "RUNS", "section", "topic"]

RUNS = {
    "fit": "train a model",
    "validate": "evaluate a model on the validation puzzles",
    "test": "evaluate a model on the test puzzles",
    "predict": "answer the test puzzles",
}
COMMANDS = (
    *RUNS,
    "check",
    "solve",
    "generate",
    "export",
    "trace",
    "calibrate",
    "doctor",
    "recipes",
    "policies",
    "import",
    "env",
    "schema",
    "completion",
)

TOPICS = ("model", "data", "trainer", "all")

PAGE = """usage: recurlight {command} [--config FILE_OR_RECIPE ...] [--ckpt_path FILE] [--KEY VALUE ...]

{about}

  recurlight {command} --config trm_sudoku --config small     a recipe, made small by another
  recurlight {command} --config trm_sudoku --ckpt_path last   with the newest checkpoint of its runs
  recurlight {command} --ckpt_path x.ckpt                     model and data are the checkpoint's

The trainer's settings are in no checkpoint. Configurations hold in their order, then flags:

  --model.*     refiner, truncation, halting, width, cycles, optimizer   --help model
  --data.*      which puzzles, how many, in what batches                 --help data
  --trainer.*   length, devices, precision, callbacks, logger            --help trainer
  --search.*    for test and predict: several chains a question   --search.help Search
                all of these and what else there is                      --help all

  --data.help CLASS      arguments of a class, such as SudokuData; likewise
                         --model.refiner.help CLASS, --model.optimizer.help CLASS, ...
  --model CLASS          a class of your own that derives from RecursiveModule
  --weights FILE         for fit: a new run that begins with trained weights
  --seed_everything N    seed of the model and of the data, unless they are given one
  --print_config         print all settings as YAML and stop
  --trust PACKAGE        let files name classes of another package
"""


def topic(words: Sequence[str]) -> str | None:
    """Return what a command line asks to be helped with: a section, nothing in particular, or None.

    Example:
        >>> topic(["--help", "model"]), topic(["--config", "a", "-h"]), topic(["--config", "a"])
        ('model', '', None)
    """
    for index, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in ("-h", "--help"):
            following = words[index + 1] if index + 1 < len(words) else ""
            return value or ("" if following.startswith("-") else following)
    return None


def section(text: str, asked: str) -> str:
    """Cut one section out of the whole help, or put all of them in the order of interest.

    Args:
        text: What the argument parser prints: blocks of indented lines below a title.
        asked: One of `TOPICS`.

    Raises:
        RecurlightError: There is no such section.
    """
    if asked not in TOPICS:
        known = suggestion(asked, TOPICS) or f"; give {', '.join(TOPICS)}"
        raise RecurlightError(f"--help {asked}: there is no such section{known}")
    blocks = re.split(r"\n(?=\S)", text.rstrip())
    wanted = TOPICS[:-1] if asked == "all" else (asked,)
    chosen = [block for name in wanted for block in blocks if f"\n  --{name}" in block]
    if asked == "all":
        chosen += [block for block in blocks if "\n  -" in block and block not in chosen]
    return "\n\n".join(block.strip() for block in chosen) + "\n"

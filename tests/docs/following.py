"""Follows a page as its reader does: saves its files in the current folder, types its commands in order."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from pathlib import Path

from docs.test_pages import DOCS, blocks
from recurlight.__main__ import main

QUIET = "--trainer.accelerator cpu --trainer.enable_progress_bar false"
SHORT = (
    f"{QUIET} --trainer.max_steps 2 --trainer.num_sanity_val_steps 0 --trainer.enable_model_summary false "
    "--model.width 16 --data.batch_size 4 --data.epoch_samples 8"
)
"""What makes a training of any page take two steps of a small model."""


def files(page: str) -> dict[str, str]:
    """Return what a page has to be saved, by the names of the files."""
    text = (DOCS / page).read_text("utf-8")
    return dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', text, re.M | re.S))


def commands(page: str) -> list[list[str]]:
    """Return the words of every command line of a page."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


def save(page: str) -> None:
    """Save the files of a page into the current folder."""
    for name, text in files(page).items():
        Path(name).write_text(text, "utf-8")


def follow(page: str, **more: str) -> list[str]:
    """Save the files and run the commands of a page, each with its own further flags.

    Args:
        page: Path in `docs`.
        more: Flags for each command, `fit="--data.num_train 8"`; others than `solve` are made quiet.

    Returns:
        The commands that ran.
    """
    save(page)
    usual = {"fit": SHORT, "check": SHORT, "solve": "", "generate": "", "doctor": ""}
    ran = []
    for program, command, *words in commands(page):
        if program == "pytest":
            tested(command)
        else:
            flags = f"{usual.get(command, QUIET)} {more.get(command, '')}".split()
            assert main([command, *words, *flags]) == 0, " ".join([command, *words])
        ran.append(f"{program} {command}")
    return ran


def tested(file: str) -> None:
    """Run the tests of a file in the current folder, as pytest would."""
    module = importlib.import_module(Path(file).stem)
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def forget(*pages: str) -> None:
    """Forget the modules that pages have saved, for others may have files of these names."""
    for page in pages:
        for name in files(page):
            sys.modules.pop(Path(name).stem, None)

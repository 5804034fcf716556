"""Figures told and kept: the table with its fingerprint, and `results.json` beside the checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from recurlight.metrics.evaluation import Measured
from recurlight.search import SearchReport, search_picture
from recurlight.training.fingerprint import Fingerprint

__all__ = ["keep", "publish", "tell"]


def tell(text: str, say: Callable[[str], None] = print) -> None:
    r"""Print a text line by line.

    In a notebook the progress bar of `rich` takes over what is printed, and hangs on a text whose last line
    is not complete when the others are shown.

    Args:
        text: Any number of lines.
        say: Prints one of them.

    Example:
        >>> tell("two\nlines")
        two
        lines
    """
    for line in text.split("\n"):
        say(line)


def publish(
    measured: Measured, mark: Fingerprint, say: Callable[[str], None], report: SearchReport | None = None
) -> None:
    """Say a table with its fingerprint, and keep both beside the checkpoint if there is one.

    Args:
        measured: The figures.
        mark: What they were measured on.
        say: Prints a line.
        report: All that a search came to, kept in `search.json`, and drawn as `search.png` where the extra
            `viz` is installed; None where there was none.
    """
    tell(f"{measured.table}\n{mark}", say)
    if mark.checkpoint:
        path = Path(mark.checkpoint)
        marked = asdict(mark) | {"checkpoint": path.name}
        keep(path.with_name("results.json"), marked, measured.figures)
        if report is not None:
            keep(path.with_name("search.json"), marked, report.plain())
            _drawn(report, path.with_name("search.png"))


def _drawn(report: SearchReport, path: Path) -> None:
    """Draw a search where the extra `viz` is installed; nothing is said where not, for nobody asked."""
    if find_spec("matplotlib") is None:
        return
    try:
        search_picture(report).savefig(path)
    except OSError as error:
        rank_zero_warn(f"the picture was not kept in {path}: {' '.join(str(error).split())}")


def keep(path: Path, mark: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """Add figures to a file of results, in place of older ones with the same fingerprint.

    A file that cannot be read or written is left as it is, with a warning: the figures have been printed.

    Args:
        path: JSON list of records, made if there is none.
        mark: Fingerprint as plain data.
        figures: Every figure by name.
    """
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        records = json.loads(path.read_text("utf-8")) if path.exists() else []
        others = [r for r in records if {k: v for k, v in r.items() if k != "figures"} != mark]
        text = json.dumps([*others, {**mark, "figures": figures}], indent=2)
        part.write_text(text + "\n", "utf-8")
        os.replace(part, path)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        part.unlink(missing_ok=True)
        rank_zero_warn(f"the figures were not kept in {path}: {' '.join(str(error).split())}; move it away")

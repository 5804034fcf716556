"""The page on published checkpoints: its commands parse, its code runs, its table of names is the code's."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import pytest

from recurlight.cli.commands.importing import _parser
from recurlight.interop.layout import ATTENTION, LEVELS, MIXER, OUTER

from .conftest import publish
from .reference import TRM_MIXER

PAGE = (Path(__file__).parents[2] / "docs" / "interop.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def commands():
    return [line for block in blocks("bash") for line in block.splitlines() if " import " in line]


@pytest.mark.parametrize("command", commands())
def test_commands_are_understood(command):
    """Fails when a flag is renamed in the code alone."""
    assert _parser().parse_all(shlex.split(command)[2:]).family in ("trm", "hrm")


def test_the_table_of_names_is_the_codes():
    """Fails when a weight is renamed in the code or on the page alone."""
    rows = re.findall(r"^\| `([\w.]+)` \| `([\w.]+)`(?:, in a mixer `([\w.]+)`)? \|$", PAGE, re.M)
    expected = {key: (ours, "") for key, ours in OUTER.items()}
    expected |= {f"{level}.layers.0.": (f"{ours}.blocks.0.", "") for level, ours in LEVELS.items()}
    expected |= {key: (ours, MIXER.get(key, "")) for key, ours in ATTENTION.items()}
    expected |= {key: (ours, "") for key, ours in MIXER.items() if key not in ATTENTION}
    assert {key: (ours, mixer) for key, ours, mixer in rows} == expected


def test_the_code_runs(tmp_path, monkeypatch):
    """Fails when the Python interface is renamed in the code alone, or its files come without a checksum."""
    monkeypatch.chdir(tmp_path)
    publish(tmp_path, TRM_MIXER._replace(tokens=81))
    names = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*checksum")
        exec("\n".join(blocks("python")), names)
    assert names["model"].recursion.sizes.tokens == 81

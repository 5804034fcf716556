"""The picture of a report."""

from __future__ import annotations

import sys

import pytest
from helpers import batch, single, trm

from recurlight import RecurlightError, examine
from recurlight.diagnostics import picture


def test_a_picture_shows_every_level_and_the_bins_that_hold_something():
    """Fails if a level is left out, or empty bins are drawn as wrong."""
    pytest.importorskip("matplotlib", reason="the extra viz is not installed")
    report = examine(trm(max_segments=2), [batch(4)])
    left, right = picture(report).axes
    lines = {line.get_label(): line.get_ydata() for line in left.lines}
    curves = report.finding("residual").curves
    assert lines.keys() == {"latent", "answer"}
    assert all([*lines[level]] == curves[level] for level in lines)
    assert len(right.lines[1].get_xdata()) == sum(n > 0 for n in report.finding("halting").curves["answers"])
    assert len(picture(examine(single(), [batch(4)])).axes[1].lines[1].get_xdata()) == 0


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RecurlightError, match=r"pip install 'recurlight\[viz\]'"):
        picture(examine(single(), [batch(4)]))

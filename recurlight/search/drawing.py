"""A search as a picture: accuracy against updates, coverage against risk. Needs the extra `viz`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recurlight.rendering.sheet import require_matplotlib
from recurlight.search.report import SearchReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["search_picture"]


def search_picture(report: SearchReport) -> Figure:
    """Draw accuracy and pass@k against the updates spent, and the share of wrong answers against coverage.

    Args:
        report: What the search came to.

    Raises:
        RecurlightError: matplotlib is not installed.
    """
    require_matplotlib("search_picture")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((9, 3.6), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    spent = [each.updates for each in report.widths]
    left.semilogx(spent, [each.oracle for each in report.widths], marker=".", color="#80868f", label="pass@k")
    left.semilogx(spent, [each.exact for each in report.widths], marker="o", color="#3767b0", label="exact")
    left.set(xlabel="updates", ylabel="share of questions", title="accuracy")
    left.legend()
    covered = [each.coverage for each in report.curve]
    right.plot(covered, [each.risk for each in report.curve], marker=".", color="#3767b0")
    right.set(xlabel="answered", ylabel="wrong among them", xlim=(0, 1), ylim=(0, None), title="risk")
    return figure

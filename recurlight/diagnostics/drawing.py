"""A report as a picture: change by every update, reliability of halting. Needs the extra `viz`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurlight.diagnostics.finding import Report
from recurlight.rendering.sheet import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["picture"]


def picture(report: Report) -> Figure:
    """Draw the relative change of each level by each of its updates, and the reliability of halting.

    Args:
        report: What `examine` found.

    Raises:
        RecurlightError: matplotlib is not installed.
    """
    require_matplotlib("picture")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((9, 3.6), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _residuals(left, report)
    _reliability(right, report)
    return figure


def _residuals(axis: Any, report: Report) -> None:
    for level, curve in report.finding("residual").curves.items():
        if level != "segment":
            axis.semilogy(range(1, len(curve) + 1), curve, marker=".", linewidth=1, label=level)
    axis.set(xlabel="update of the level", ylabel="relative change", title="residual")
    axis.legend()


def _reliability(axis: Any, report: Report) -> None:
    curves = report.finding("halting").curves
    axis.plot([0, 1], [0, 1], color="#80868f", linewidth=1)
    held = [place for place, count in enumerate(curves.get("answers", ())) if count]
    points = ([curves[name][place] for place in held] for name in ("confidence", "accuracy"))
    axis.plot(*points, marker="o", color="#3767b0")
    axis.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), title="reliability")

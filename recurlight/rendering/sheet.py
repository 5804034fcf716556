"""Samples as pictures: question, prediction and answer beside each other. Needs the extra `viz`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recurlight.errors import RecurlightError
from recurlight.rendering.looks import Drawable
from recurlight.rendering.samples import Sample, titles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["pixels", "require_matplotlib", "sheet"]

INK, FILLED, RED, PALE_RED = "#15181e", "#3767b0", "#c81e1e", "#fbdcd8"
_DPI = 150
_MARGIN, _HEAD = 0.1, 0.4  # inches


def require_matplotlib(who: str) -> None:
    """Refuse to go on without matplotlib.

    Raises:
        RecurlightError: It is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise RecurlightError(f"{who} needs matplotlib: pip install 'recurlight[viz]'") from error


def sheet(data: Drawable, samples: Sequence[Sample]) -> Figure:
    """Draw one row for each sample: question, prediction and answer; wrong cells are red.

    Args:
        data: Colors the cells, writes into them and rules boxes.
        samples: What to draw, at least one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = data.grid_shape
    longest = max(rows, columns)
    cell = min(0.5, 3.6 / longest, max(0.25, 2 / longest))  # inches
    width, height = 3 * columns * cell + 4 * _MARGIN, len(samples) * (rows * cell + _HEAD) + _MARGIN
    figure = Figure((width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(samples), 3, squeeze=False)
    edges = (_MARGIN / width, _MARGIN / height, 1 - _MARGIN / width, 1 - _HEAD / height)
    figure.subplots_adjust(*edges, wspace=_MARGIN / (columns * cell), hspace=_HEAD / (rows * cell))
    for row, sample in zip(axes, samples, strict=True):
        for axis, title, tokens in zip(row, titles(sample), sample[:3], strict=True):
            if not tokens:  # an answer that is not known
                axis.set_axis_off()
                continue
            wrong = sample.wrong if tokens is sample.prediction else [False] * len(tokens)
            _panel(axis, data, sample.question, tokens, wrong, cell)
            axis.set_title(title, fontsize=9, color=RED if any(wrong) else INK, pad=5)
    return figure


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """Return a figure as `(height, width, 3)` uint8."""
    canvas: Any = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _panel(
    axis: Any, data: Drawable, question: list[int], tokens: list[int], wrong: list[bool], cell: float
) -> None:
    """Draw one grid."""
    rows, columns = data.grid_shape
    axis.imshow(data.picture(tokens), extent=(0, columns, rows, 0), interpolation="nearest")
    axis.set(xticks=[], yticks=[], xlim=(0, columns), ylim=(rows, 0))
    _rules(axis, data)
    marks, clues = (data.marks(grid) or [""] * len(grid) for grid in (tokens, question))
    for place, (mark, clue, bad) in enumerate(zip(marks, clues, wrong, strict=True)):
        row, column = divmod(place, columns)
        if bad:
            _error(axis, row, column, filled=bool(mark), cell=cell)
        if mark:  # what the question says dark, what was filled in blue, errors red
            color = RED if bad else INK if clue else FILLED
            weight = "bold" if bad or clue else "normal"
            style = {"ha": "center", "va": "center", "fontsize": 42 * cell, "zorder": 4}
            axis.text(column + 0.5, row + 0.53, mark, color=color, weight=weight, **style)


def _rules(axis: Any, data: Drawable) -> None:
    """Rule the cells thinly and the boxes strongly."""
    rows, columns = data.grid_shape
    lines: list[tuple[int, int, str, float]] = [(1, 1, "#80868f66", 0.5)]
    if data.looks.boxes:
        lines.append((*data.looks.boxes, INK, 1.4))
    for down, across, color, width in lines:
        axis.hlines(range(0, rows + 1, down), 0, columns, colors=color, linewidths=width)
        axis.vlines(range(0, columns + 1, across), 0, rows, colors=color, linewidths=width)
    for spine in axis.spines.values():
        spine.set(edgecolor=INK, linewidth=1.4)


def _error(axis: Any, row: int, column: int, filled: bool, cell: float) -> None:
    """Fill a wrong cell that has a mark; frame one that has none, so that its own color stays visible."""
    from matplotlib.patches import Rectangle

    if filled:
        axis.add_patch(Rectangle((column, row), 1, 1, color=PALE_RED, linewidth=0))
    else:
        inset, size, width = 0.1, 0.8, 10 * cell
        frame = Rectangle((column + inset, row + inset), size, size, fill=False, ec=RED, lw=width, zorder=3)
        axis.add_patch(frame)

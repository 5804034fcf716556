"""A replay as a strip of pictures, and as a film. Needs the extra `viz`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurlight.rendering.looks import rgb
from recurlight.rendering.sheet import FILLED, INK, RED, pixels
from recurlight.spec.given import checked
from recurlight.tracing.records import Reading, Replay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["film", "filmstrip", "moments"]

MOST, FRAMES = 8, 120
_DPI = 110
_MARGIN, _HEAD = 0.12, 0.42  # inches
_TINT, _FAINT = "#7fb0ff", "#80868f66"


def moments(replay: Replay, most: int = MOST) -> list[int]:
    """Choose what to show of the way to the answer, as numbers of updates that have been made.

    Every update that writes the answer if these are few enough, else the end of every segment, else some of
    those; the last is always that of the answer.

    Args:
        replay: What happened.
        most: How many to choose at most, at least 2.
    """
    end = replay.last_update(replay.predicted)
    writes = [at for at, update in enumerate(replay.updates[:end], 1) if update.level == "answer"]
    segments = [replay.last_update(number) for number in range(1, replay.predicted + 1)]
    chosen = {end, *writes} if len({end, *writes}) <= most else {*segments}
    ordered = sorted(chosen)
    places = np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round().astype(int)
    return [ordered[place] for place in places]


@checked
def filmstrip(replay: Replay, path: str | Path) -> None:
    """Draw the question, the way to the answer, and nothing of what was thought after it.

    Bars say how sure each token is, crosses what is wrong, rings what has changed since the picture before.

    Args:
        replay: What happened.
        path: PNG file, or of another kind that matplotlib writes.
    """
    chosen = moments(replay)
    figure, axes = _figure(replay, 1 + len(chosen))
    _board(axes[0], replay, Reading(replay.question, [], [], []), "question")
    before = replay.start["answer"].tokens
    for axis, at in zip(axes[1:], chosen, strict=True):
        reading = replay.reading(at)
        cells = enumerate(zip(before, reading.tokens, strict=True))
        changed = [cell for cell, (one, other) in cells if one != other] if at != chosen[0] else []
        _board(axis, replay, reading._replace(changed=changed), _title(replay, at, reading))
        before = reading.tokens
    figure.savefig(path)


@checked
def film(replay: Replay, path: str | Path, milliseconds: int = 400) -> None:
    """Draw every update on the way to the answer, all levels beside each other, as a film.

    Of more than 120 updates it takes as many, evenly.

    Args:
        replay: What happened.
        path: GIF file.
        milliseconds: How long a picture stays; the last stays five times as long.
    """
    from PIL import Image

    end = replay.last_update(replay.predicted)
    numbers = np.unique(np.linspace(0, end, min(FRAMES, end + 1)).round().astype(int)).tolist()
    figure, axes = _figure(replay, len(replay.levels))
    images = []
    for at in numbers:
        for axis, level in zip(axes, replay.levels, strict=True):
            wrote = at > 0 and level in replay.updates[at - 1].read
            reading = replay.reading(at, level)
            axis.clear()
            title = _title(replay, at, reading) if level == "answer" else level
            _board(axis, replay, reading if wrote else reading._replace(changed=[]), title)
        images.append(Image.fromarray(pixels(figure)).quantize(64))
    lasting = [milliseconds] * (len(images) - 1) + [5 * milliseconds]
    images[0].save(path, save_all=True, append_images=images[1:], duration=lasting, loop=0)


def _title(replay: Replay, at: int, reading: Reading) -> str:
    """Say where an update is and how good the answer is."""
    if not at:
        return "start"
    update = replay.updates[at - 1]
    wrong = f"{len(reading.wrong)} wrong" if reading.wrong else "right"
    place = f"segment {update.segment}, cycle {update.cycle}"
    return f"{place}\n{wrong}" if replay.answer and replay.error is None else place


def _figure(replay: Replay, count: int) -> tuple[Figure, list[Any]]:
    """Make so many places to draw in: beside each other, lines below each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = replay.look.rows, replay.look.columns
    cell = min(0.4, 2.2 / max(rows, columns) if rows > 1 else 7 / columns)  # inches
    down, across = (count, 1) if columns > 3 * rows else (1, count)
    width = across * (columns * cell + _MARGIN) + _MARGIN
    height = down * (rows * cell + _HEAD) + _MARGIN
    figure = Figure((width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(down, across, squeeze=False).ravel().tolist()
    edges = (_MARGIN / width, _MARGIN / height, 1 - _MARGIN / width, 1 - _HEAD / height)
    figure.subplots_adjust(*edges, wspace=_MARGIN / (columns * cell), hspace=_HEAD / (rows * cell))
    return figure, axes


def _board(axis: Any, replay: Replay, reading: Reading, title: str) -> None:
    """Draw the cells of one reading."""
    look, rows, columns = replay.look, replay.look.rows, replay.look.columns
    colors = rgb(*(look.colors[token] or "#ffffff" for token in reading.tokens))
    axis.imshow(colors.reshape(rows, columns, 3), extent=(0, columns, rows, 0), interpolation="nearest")
    axis.set(xticks=[], yticks=[], xlim=(0, columns), ylim=(rows, 0))
    _lines(axis, replay)
    inches = axis.get_position().width * axis.figure.get_figwidth() / columns
    for cell in range(rows * columns):
        _cell(axis, replay, reading, cell, 72 * inches)
    axis.set_title(title, fontsize=7.5, color=RED if reading.wrong else INK, pad=4)


def _lines(axis: Any, replay: Replay) -> None:
    """Rule the cells thinly, and boxes and canvases strongly."""
    look, rows, columns = replay.look, replay.look.rows, replay.look.columns
    lines: list[tuple[int, int, str, float]] = [(1, 1, _FAINT, 0.5)]
    if look.boxes or look.canvas:
        lines.append((*(look.boxes or (look.canvas or rows, columns)), INK, 1.2))
    for down, across, color, width in lines:
        axis.hlines(range(0, rows + 1, down), 0, columns, colors=color, linewidths=width)
        axis.vlines(range(0, columns + 1, across), 0, rows, colors=color, linewidths=width)
    for spine in axis.spines.values():
        spine.set(edgecolor=INK, linewidth=1.2)


def _cell(axis: Any, replay: Replay, reading: Reading, cell: int, points: float) -> None:
    """Write one cell, and mark how sure it is, and whether it is wrong or has changed."""
    from matplotlib.patches import Rectangle

    (row, column), look = divmod(cell, replay.look.columns), replay.look
    bad, clue = cell in reading.wrong, cell in look.clues
    sure = reading.confidence[cell] if reading.confidence else None
    if sure is not None and not clue and look.written:
        axis.add_patch(Rectangle((column, row + 0.9), sure / 100, 0.1, color=_TINT, linewidth=0))
    if cell in reading.changed:
        ring = Rectangle((column + 0.06, row + 0.06), 0.88, 0.88, fill=False, zorder=3)
        ring.set(edgecolor=INK, linewidth=0.06 * points)
        axis.add_patch(ring)
    if look.written and (text := look.texts[reading.tokens[cell]]).strip():
        color = RED if bad else INK if clue else FILLED
        style = {"ha": "center", "va": "center", "fontsize": 0.55 * points / max(1, 0.75 * len(text))}
        weight = "bold" if clue else "normal"
        axis.text(column + 0.5, row + 0.53, text, color=color, weight=weight, zorder=4, **style)
    if bad:
        size, at = (0.12, (column + 0.82, row + 0.18)) if look.written else (0.25, (column + 0.5, row + 0.5))
        for sign in (1, -1):
            ends = [at[0] - size, at[0] + size], [at[1] - sign * size, at[1] + sign * size]
            axis.plot(*ends, color=RED, linewidth=0.07 * points, zorder=5)

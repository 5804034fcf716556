"""The threshold of a judge, fitted to a loss of accuracy that is allowed."""

from __future__ import annotations

import math
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.spec.given import checked, within

__all__ = ["DOUBT", "Point", "curve", "fit_threshold", "holds", "stopped"]

DOUBT = 0.05
"""Probability, at most, that a threshold is chosen that loses more than is allowed."""


class Point(NamedTuple):
    """What a threshold costs and saves.

    Attributes:
        threshold: Confidence above which a row stops.
        accuracy: Share of right answers.
        segments: Segments of a row in the mean.
        lost: Rows that all segments answer rightly, and that stop at a wrong answer.
    """

    threshold: float
    accuracy: float
    segments: float
    lost: int


def stopped(confidence: Tensor, right: Tensor, threshold: float) -> Point:
    """Replay an evaluation whose rows stop when the judge is so sure; the others run all segments.

    Args:
        confidence: After each segment, `(S, B)`.
        right: Whether the answer was right then, `(S, B)` bool.
        threshold: Confidence above which a row stops.

    Example:
        >>> sure = torch.tensor([[0.6, 0.1], [0.9, 0.8]])
        >>> stopped(sure, torch.tensor([[False, False], [True, True]]), threshold=0.5)
        Point(threshold=0.5, accuracy=0.5, segments=1.5, lost=1)
    """
    says, last = confidence > threshold, len(confidence) - 1
    first = torch.where(says.any(0), says.int().argmax(0), last)
    found = right.gather(0, first[None])[0]
    lost = int((right[-1] & ~found).sum())
    return Point(threshold, found.float().mean().item(), (first + 1).float().mean().item(), lost)


def holds(lost: int, rows: int, loss: float) -> bool:
    """Tell whether so few lost rows show, with 95 % confidence, that at most that share is lost in general.

    `sum_{i <= lost} C(rows, i) loss^i (1 - loss)^(rows - i) <= 0.05`, the exact bound of one side

    Args:
        lost: Rows that were lost.
        rows: All rows.
        loss: Share that may be lost, between 0 and 1.

    Example:
        >>> holds(0, 299, loss=0.01), holds(0, 298, loss=0.01)
        (True, False)

    Reference:
        Clopper and Pearson, The use of confidence or fiducial limits (Biometrika 26, 1934).
    """
    each = (
        _log_choose(rows, i) + i * math.log(loss) + (rows - i) * math.log1p(-loss) for i in range(lost + 1)
    )
    return sum(map(math.exp, each)) <= DOUBT


def _log_choose(rows: int, i: int) -> float:
    return math.lgamma(rows + 1) - math.lgamma(i + 1) - math.lgamma(rows - i + 1)


def curve(confidence: Tensor, right: Tensor, points: int = 200) -> list[Point]:
    """Return what thresholds cost and save, from the lowest to one that no confidence is above.

    Args:
        confidence: After each segment, `(S, B)`.
        right: Whether the answer was right then, `(S, B)` bool.
        points: Thresholds to try at most, spread evenly over the confidences that were seen.
    """
    seen = sorted({value for value in confidence.flatten().tolist() if value < 1})
    step = max(1, -(-len(seen) // points))
    return [stopped(confidence, right, value) for value in (0.0, *seen[::step], 1.0)]


@checked
def fit_threshold(confidence: Tensor, right: Tensor, loss: float = 0.01) -> tuple[Point, list[Point]]:
    """Find the lowest threshold that is shown to lose at most that share of what all segments answer rightly.

    What loses little on the rows that it is fitted to may lose more on others. So the loss has to be shown
    with 95 % confidence, by `holds`, from the highest threshold down to the first that fails: then the chance
    to choose one that loses more is at most 5 %, however many are tried. It speaks of rows like these.

    Args:
        confidence: After each segment, `(S, B)`.
        right: Whether the answer was right then, `(S, B)` bool.
        loss: Share of answers that may be lost, above 0 and at most 0.5.

    Returns:
        The point chosen, and the whole curve.

    Raises:
        IncompatibleComponents: The loss is out of range, or there is nothing to fit to: no answers, too few
            to show so small a loss, or all of them are right, or wrong, after every segment.

    Reference:
        Angelopoulos et al., Learn then test (arXiv:2110.01052), fixed sequence testing.
    """
    within("calibrate", "loss", loss, above=0, most=0.5)
    rows = right.shape[1]
    _require_something(right)
    if not holds(0, rows, loss):
        raise IncompatibleComponents(
            f"{rows} validation puzzles cannot show a loss as small as {loss:g}: give "
            f"--data.num_val {math.ceil(math.log(DOUBT) / math.log1p(-loss))} or "
            f"--loss {math.ceil(1e4 * (1 - DOUBT ** (1 / rows))) / 1e4:g}"
        )
    found = curve(confidence, right)
    shown = [*takewhile(lambda point: holds(point.lost, rows, loss), reversed(found))]
    return shown[-1], found


def _require_something(right: Tensor) -> None:
    """Refuse answers that tell nothing about a judge."""
    if not right.numel():
        raise IncompatibleComponents("there are no validation puzzles to calibrate on: raise data.num_val")
    if right.all() or not right.any():
        word = "right" if right.all() else "wrong"
        raise IncompatibleComponents(
            f"all validation answers are {word} after every segment, so that there is nothing to calibrate: "
            "give harder or easier puzzles, --data..."
        )

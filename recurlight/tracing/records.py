"""A solve as plain data: numbers, texts and lists of them, which JSON can hold."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

__all__ = ["Judgement", "Look", "Reading", "Replay", "Update"]


class Reading(NamedTuple):
    """What a level says when it is read through the decoder.

    Attributes:
        tokens: The answer as the data show it, `L` tokens.
        confidence: Probability of the likeliest token of each cell by the softmax, in percent; None where
            nothing is supervised. Empty where answers are numbers.
        changed: Cells that another token was in before.
        wrong: Supervised cells that differ from the right answer; none where that is not known, or is of
            numbers.
    """

    tokens: list[int]
    confidence: list[int | None]
    changed: list[int]
    wrong: list[int]


class Update(NamedTuple):
    """What one update did.

    Attributes:
        segment: Number of its segment, from 1.
        cycle: Number of its cycle in the segment, from 1.
        level: Level that it wrote.
        gradient: Whether an update at this place carries gradient in training.
        change: Residual: `||after - before|| / ||after||` of the level.
        sure: Mean confidence of the answer's supervised cells, from 0 to 1; None where answers are numbers.
        read: Levels that read otherwise than before the update, by name.
    """

    segment: int
    cycle: int
    level: str
    gradient: bool
    change: float
    sure: float | None
    read: dict[str, Reading]


class Judgement(NamedTuple):
    """What was thought of the answer after a segment.

    Attributes:
        score: The halting policy's scores, `K` of them.
        confidence: Its probability that the answer is right; None where it does not judge.
        halts: Whether the halting policy would stop here, as in training.
        stops: Whether the stopping rule would stop here.
    """

    score: list[float]
    confidence: float | None
    halts: bool
    stops: bool


class Look(NamedTuple):
    """How the cells are drawn.

    Attributes:
        rows: Rows of the grid.
        columns: Columns of the grid.
        boxes: Rows and columns of the boxes that are ruled; None for no boxes.
        canvas: Rows of each canvas where several lie below each other; None for one grid.
        texts: What is written into the cells of each token that occurs, by token; a name where it is a color.
        colors: Color of each token that occurs, such as `#ffffff`; None for those of the page.
        written: Whether texts are written into the cells; otherwise colors tell tokens apart.
        clues: Cells that the question fills with a text.
    """

    rows: int
    columns: int
    boxes: tuple[int, int] | None
    canvas: int | None
    texts: dict[int, str]
    colors: dict[int, str | None]
    written: bool
    clues: list[int]


class Replay(NamedTuple):
    """One solve of one puzzle, as it went; see `replay`.

    Attributes:
        title: What is solved.
        parts: Refiner, truncation, halting policy and stopping rule, by name.
        look: How the cells are drawn.
        question: As the data show it, `L` tokens.
        answer: The right one likewise; None where it is not known.
        counted: Cells that are supervised; all of them where the answer is not known.
        levels: Levels that are read, the answer first.
        unread: Levels whose shape the decoder cannot read.
        start: What the levels say before the first update, by name.
        updates: What each update did, in order; where a solver looks for a fixed point, at each point it
            tried. The last one of a segment reads the answer as the driver does.
        segments: What was thought of the answer after each segment.
        stops: Segment after which the stopping rule would stop first; None where it would not.
        predicted: Segment whose answer `predict` gives.
        error: Relative L2 error of that answer, where answers are numbers; None otherwise.
    """

    title: str
    parts: dict[str, str]
    look: Look
    question: list[int]
    answer: list[int] | None
    counted: list[int]
    levels: list[str]
    unread: list[str]
    start: dict[str, Reading]
    updates: list[Update]
    segments: list[Judgement]
    stops: int | None
    predicted: int
    error: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return dictionaries, lists, numbers, texts and None, where also what is not finite is None."""
        found: dict[str, Any] = _plain(self)
        return found

    def reading(self, update: int, level: str = "answer") -> Reading:
        """Return what a level says after so many updates, 0 for the start."""
        found = self.start[level]
        for each in self.updates[:update]:
            found = each.read.get(level, found)
        return found

    def summary(self) -> str:
        """Return in a line what came of it."""
        wrong = len(self.reading(self.last_update(self.predicted)).wrong)
        judged = f", error {self.error:.1%}" if self.error is not None else ""
        if self.answer and self.error is None:
            judged = f", {f'{wrong} wrong' if wrong else 'right'}"
        return f"{self.title}: answered after {self.predicted} of {len(self.segments)} segments{judged}"

    def last_update(self, segment: int) -> int:
        """Return how many updates have been made by the end of a segment, counted from 1."""
        return sum(update.segment <= segment for update in self.updates)


_RECORDS = (Reading, Update, Judgement, Look, Replay)


def _plain(thing: Any) -> Any:
    """Turn records into dictionaries all the way down."""
    if isinstance(thing, _RECORDS):
        return {name: _plain(value) for name, value in zip(thing._fields, thing, strict=True)}
    if isinstance(thing, dict):
        return {str(name): _plain(value) for name, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_plain(value) for value in thing]
    if isinstance(thing, float):
        return float(f"{thing:.6g}") if math.isfinite(thing) else None
    return thing

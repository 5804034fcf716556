"""The driver's own solve, watched from outside."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recurlight.diagnostics.resting import lent
from recurlight.diagnostics.watching import Watched
from recurlight.draw.seeding import generators_kept
from recurlight.errors import DataError
from recurlight.halting.base import Halting, judges
from recurlight.numerics import relative_change
from recurlight.recursion.driver import Recursion
from recurlight.rendering.looks import Drawable
from recurlight.rendering.samples import samples
from recurlight.spec.given import checked, within
from recurlight.stopping import AsTrained, Seen, Stopping, usual_stopping
from recurlight.tracing.look import look
from recurlight.tracing.reading import Reader
from recurlight.tracing.records import Judgement, Replay, Update
from recurlight.truncation.reach import recorded_updates
from recurlight.types import Batch, Prediction

__all__ = ["replay"]


@checked
def replay(
    recursion: Recursion,
    batch: Batch,
    data: Drawable,
    row: int = 0,
    *,
    segments: int | None = None,
    adaptive: bool = True,
    cycles: int | None = None,
    title: str = "",
) -> Replay:
    """Solve a batch by `Recursion.unroll`, all rows for all segments, and keep all that happens to one row.

    The arguments are those of `Recursion.solve`, whose answer is that of the segment `predicted`; what comes
    after it shows what thinking on would have done. Put the driver into evaluation mode first. The batch is
    solved as it is, so that what parts draw is as in `predict`, whose rows differ from these by rounding at
    most; where nothing draws a batch of one row is quicker.

    Args:
        recursion: The driver.
        batch: Questions, `(B, ...)`, on its device.
        data: Says how they look.
        row: Row to keep, from 0.
        segments: Segments to run; None for `max_segments`.
        adaptive: Whether `predict` stops by the rule, and not at the last segment.
        cycles: Cycles in a segment; None for the driver's own.
        title: What is solved.

    Raises:
        DataError: The row only fills the batch up.
        IncompatibleComponents: A number is out of range, or the batch does not fit the driver.

    Example:
        >>> from recurlight import CorrectnessHalting, LastCycles, MixerCell, Sizes, SudokuData
        >>> from recurlight import TwoLevelRefiner
        >>> data = SudokuData(size=4, num_train=8, num_val=4, num_test=4)
        >>> refiner, sizes = TwoLevelRefiner(MixerCell(), latent_steps=2), Sizes(data.vocab_size, 16, 32)
        >>> recursion = Recursion(sizes, refiner, LastCycles(1), CorrectnessHalting(), cycles=2).eval()
        >>> found = replay(recursion, next(iter(data.val_dataloader())), data, segments=3)
        >>> [update.level for update in found.updates[:6]], found.updates[-1].gradient
        (['latent', 'latent', 'answer', 'latent', 'latent', 'answer'], True)
    """
    one = _only(batch, row)
    rule = recursion.stopping or (usual_stopping(recursion.halting) if adaptive else AsTrained())
    judging, eye = _Judging(rule, recursion.halting, row), _Eye(recursion, one, data, row)
    with lent(recursion, refiner=Watched(recursion.refiner, eye.note)):
        for prediction in recursion.unroll(batch, segments, cycles=cycles, stopping=judging):
            eye.close(prediction)
    stops = next((number for number, each in enumerate(judging.found, 1) if each.stops), None)
    predicted = stops if adaptive and stops else len(judging.found)
    (shown,) = samples(one, eye.predictions[predicted - 1], 1, data)
    return Replay(
        title=title,
        parts=_parts(recursion, rule),
        look=look(data, shown.question, eye.reader.seen | {*shown.question, *shown.answer}),
        question=shown.question,
        answer=shown.answer or None,
        counted=eye.reader.counted,
        levels=eye.reader.levels,
        unread=eye.reader.unread,
        start=eye.start,
        updates=eye.marked(recursion),
        segments=judging.found,
        stops=stops,
        predicted=predicted,
        error=shown.error,
    )


def _only(batch: Batch, row: int) -> Batch:
    """Take one row, which must ask something."""
    within("replay", "row", row, 0, len(batch.task) - 1)
    one = Batch(*(field[row : row + 1] for field in batch))
    if not bool(one.asked()):
        raise DataError(f"row {row} of the batch is padding: give a row that asks something")
    return one


def _parts(recursion: Recursion, rule: Stopping) -> dict[str, str]:
    """Name what the model is composed of."""
    parts = {"refiner": type(recursion.refiner).__name__, "truncation": repr(recursion.truncation)}
    return parts | {"halting": type(recursion.halting).__name__, "stopping": repr(rule)}


class _Judging(Stopping):
    """Stops where another rule does, and notes what it was shown."""

    def __init__(self, rule: Stopping, halting: Halting, row: int) -> None:
        self.rule, self.halting, self.row = rule, halting, row
        self.found: list[Judgement] = []

    def look(self, seen: Seen, memory: Any) -> tuple[Tensor, Any]:
        """Ask the rule."""
        stops, memory = self.rule.look(seen, memory)
        score = self.halting.score(seen.segment)[self.row].tolist()
        sure = float(seen.confidence[self.row]) if judges(self.halting) else None
        self.found.append(Judgement(score, sure, bool(seen.halts[self.row]), bool(stops[self.row])))
        return stops, memory


class _Eye:
    """Follows one row through the updates."""

    def __init__(self, recursion: Recursion, one: Batch, data: Drawable, row: int) -> None:
        self.reader, self.row = Reader(recursion.decoder, one, data, row), row
        self.start: Any = {}
        self.updates: list[Update] = []
        self.predictions: list[Prediction] = []

    def note(self, before: Any, after: Any, injection: Tensor, level: str) -> None:
        """Read the levels after one update, and before the first."""
        if not self.updates:
            self.start = self.reader.read(before)
        between = self.reader.read(before)  # a solver goes on from a point of its own
        row = slice(self.row, self.row + 1)
        change = relative_change(getattr(before, level)[row], getattr(after, level)[row])
        read = between | self.reader.read(after)
        update = Update(len(self.predictions) + 1, 1, level, False, float(change), self.reader.sure(), read)
        self.updates.append(update)

    def close(self, prediction: Prediction) -> None:
        """Take the answer of a segment, which some truncations make of more than the last update."""
        row = slice(self.row, self.row + 1)
        self.predictions.append(Prediction(*(field[row] for field in prediction)))
        last = self.updates[-1]
        read = last.read | self.reader.take("answer", prediction.logits[row])
        self.updates[-1] = last._replace(read=read, sure=self.reader.sure())

    def marked(self, recursion: Recursion) -> list[Update]:
        """Return the updates with their cycles, and which of them carry gradient in training."""
        with generators_kept(self.predictions[0].logits.device):
            flags = recorded_updates(
                recursion.refiner, recursion.truncation, recursion.sizes, recursion.cycles
            )
        length, found = len(recursion.refiner.schedule()), []
        for number in range(1, len(self.predictions) + 1):
            of = [update for update in self.updates if update.segment == number]
            window = ((False,) * len(of) + flags)[-len(of) :]  # windows are counted from the end
            for at, (update, gradient) in enumerate(zip(of, window, strict=True)):
                found.append(update._replace(cycle=at // length + 1, gradient=gradient))
        return found

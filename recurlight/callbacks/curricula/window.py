"""A window that grows over the first part of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recurlight.callbacks.curricula.base import Curriculum, Moment
from recurlight.errors import IncompatibleComponents
from recurlight.spec.given import within
from recurlight.truncation import GradientTruncation, GradientWindow, LastUpdates

__all__ = ["AnswerFirst", "WindowCurriculum"]


@dataclass(frozen=True)
class AnswerFirst(GradientWindow):
    """Give the answer the last updates with gradient, all but one if it has so many, and the others the rest.

    Args:
        count: Updates with gradient, from 1 to `cycles * len(schedule)`.

    Example:
        >>> AnswerFirst(3).mask(("latent", "latent", "answer"), cycles=2)
        (False, False, True, False, True, True)

    Reference:
        HRM-Text, arXiv:2605.20613.
    """

    count: int

    def mask(self, schedule: tuple[str, ...], cycles: int) -> tuple[bool, ...]:
        """Return True for the last updates of the answer, and for those of the other levels."""
        updates = [level == "answer" for level in schedule] * cycles
        if not 1 <= self.count <= len(updates):
            raise IncompatibleComponents(
                f"{self!r} does not fit the segment: give 1 to {len(updates)} updates, or raise cycles"
            )
        others = updates.count(False)
        answers = min(updates.count(True), self.count - (others > 0))
        left, flags = {True: answers, False: self.count - answers}, []
        for answer in reversed(updates):
            flags.append(left[answer] > 0)
            left[answer] -= 1
        return tuple(reversed(flags))


class WindowCurriculum(Curriculum):
    """Lets gradient through more and more updates, for short windows are cheap and steady at first.

    The last `first + floor((last - first) * step / (share * steps))` updates carry gradient, `last` of them
    once `share` of the run is over

    Begin with a window that reaches the encoder: with two levels, the last update of the latent and that of
    the answer. It takes the place of `model.truncation`.

    On the command line: `--trainer.callbacks+=WindowCurriculum`. The run needs an end, such as
    `trainer.max_steps`; resume it with the same.

    Args:
        first: Updates with gradient in the first step, 1 or more.
        last: Updates with gradient from then on, `first` or more, and no more than a segment has.
        share: Share of the run's steps over which the window grows, in [0, 1].
        answer_first: Divide the updates as the reference does: the answer gets the last ones, but one is left
            for the other levels. Otherwise the last updates carry gradient, whatever they write.

    Raises:
        IncompatibleComponents: A number is out of range.

    Example:
        >>> growing = WindowCurriculum(first=2, last=5, share=0.2)
        >>> steps = (Moment(seed=0, step=step, total=30, stated={}) for step in range(8))
        >>> [growing.change(moment)["truncation"].count for moment in steps]
        [2, 2, 3, 3, 4, 4, 5, 5]

    Reference:
        HRM-Text, arXiv:2605.20613.
    """

    settings = ("truncation",)
    decided_by = ("first", "last")

    def __init__(self, first: int = 2, last: int = 5, share: float = 0.2, answer_first: bool = False) -> None:
        within("WindowCurriculum", "first", first, 1)
        within("WindowCurriculum", "last", last, first)
        within("WindowCurriculum", "share", share, 0, 1)
        self.first, self.last, self.share, self.answer_first = first, last, share, answer_first

    def change(self, moment: Moment) -> dict[str, Any]:
        """Return the window of the step."""
        end = moment.at(self.share)
        grown = (self.last - self.first) * moment.step // end if moment.step < end else None
        return {"truncation": self._window(self.last if grown is None else self.first + grown)}

    def extremes(self, stated: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        """Every window."""
        return [{"truncation": self._window(count)} for count in range(self.first, self.last + 1)]

    def _window(self, count: int) -> GradientTruncation:
        return AnswerFirst(count) if self.answer_first else LastUpdates(count)

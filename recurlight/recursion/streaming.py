"""Answers to a stream of questions, in which a slot that is done takes the next one at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from recurlight import draw
from recurlight.draw.seeding import generators_at
from recurlight.errors import IncompatibleComponents
from recurlight.recursion.checks import at_least_one
from recurlight.recursion.line import Asked, Line, Seat, gathered, index
from recurlight.recursion.slotted import Slotted
from recurlight.slots import bucket, pad, scatter, take
from recurlight.spec.given import checked
from recurlight.stopping import AsTrained, Seen, Stopping, usual_stopping
from recurlight.types import Batch, Carry, Prediction, Segment

__all__ = ["Streaming"]


class Streaming(Slotted, ABC):
    """The part of `Recursion` that answers streams."""

    @abstractmethod
    def segment(self, carry: Carry, fresh: Batch, cycles: int | None = None) -> tuple[Carry, Segment, Tensor]:
        """Run one segment."""

    @checked
    @torch.no_grad()
    def stream(
        self,
        batches: Iterable[Batch],
        slots: int | None = None,
        max_segments: int | None = None,
        cycles: int | None = None,
        stopping: Stopping | None = None,
    ) -> Iterator[tuple[Batch, Prediction]]:
        """Answer a stream of questions, each until its answer is settled, with no slot idle.

        A row that stops leaves its slot to the next question, so that every segment works on `slots` rows
        until the stream ends; the last ones are compacted as in `solve`. Answers, segments and confidences
        are those of `solve`, up to the rounding of products of another number of rows. Batches come out in
        their order, as soon as all of their rows and those before are answered; what is held meanwhile is
        bounded by the questions that can pass while one takes `max_segments`: `slots * max_segments` rows.

        Args:
            batches: Questions, `(B, ...)` each; asked for one by one, when a slot is free.
            slots: Rows of a segment; None for those of the first batch.
            max_segments: Most segments of a question; None for the model's own cap.
            cycles: Cycles in a segment; None for the model's own.
            stopping: When a row stops; None for the rule of `solve`.

        Yields:
            Each batch as it was given, and where each of its rows stopped.

        Raises:
            IncompatibleComponents: A number is below 1, a batch does not fit the model, the rule cannot stop
                it, or a part of it draws random numbers: these belong to a batch, use `solve`.

        Example:
            >>> from recurlight import CorrectnessHalting, LastCycles, MixerCell, Recursion, Sizes
            >>> from recurlight import TwoLevelRefiner
            >>> refiner = TwoLevelRefiner(MixerCell(), latent_steps=2)
            >>> recursion = Recursion(Sizes(6, 16, 32), refiner, LastCycles(1), CorrectnessHalting())
            >>> zeros = torch.zeros(4, 16, dtype=torch.int64)
            >>> batches = [Batch(zeros, zeros, zeros[:, 0])] * 3
            >>> [len(found.segments) for _, found in recursion.stream(batches, slots=8)]
            [4, 4, 4]
        """
        rule, memory = self._rule(stopping, adaptive=True), None
        last = at_least_one("max_segments", max_segments, self.max_segments)
        line, seats = self._opened(iter(batches), slots)
        carry = self.start(gathered(seats)) if seats else None
        while carry is not None:
            carry, segment, score = self.segment(carry, carry.batch, cycles)
            seen = self._seen(carry, segment, score)
            halted, memory = rule.look(seen, memory)
            part = Prediction(segment.logits, carry.age, halted, seen.confidence)
            if self.feedback is not None:
                carry = carry._replace(guess=self.feedback.towards(segment.logits, carry, last))
            stopped = (halted | (carry.age >= last))[: len(seats)]  # the rows after these are padding
            done = [slot for slot, says in enumerate(stopped.tolist()) if says]  # waits for the device
            _put(seats, done, part)
            yield from line.answered()
            seats, carry, memory = _reseated(line, seats, done, carry, memory)

    def _opened(self, batches: Iterator[Batch], slots: int | None) -> tuple[Line, list[Seat]]:
        """Look at every batch that is asked for, and give the first questions their slots."""
        looked_at = map(self._looked_at, batches)
        first = next(looked_at, None)
        if first is None:
            return Line(()), []
        if self.draws(first):
            raise IncompatibleComponents(
                f"a part of the model draws random numbers ({type(self.refiner).__name__} or what it is "
                "with), which belong to a place in a batch: call Recursion.solve for each batch"
            )
        line = Line(chain([first], looked_at))
        return line, line.next(at_least_one("slots", slots, len(first.task)))

    def draws(self, batch: Batch) -> bool:
        """Tell whether a part takes random numbers where it answers; two segments are tried.

        Args:
            batch: Any questions, `(B, ...)`.
        """
        device = batch.task.device
        with torch.no_grad(), self._on_trial(), draw.of_batch(2):
            carry = self.start(take(index([0, 0], batch.task), batch))
            before = generators_at(device)
            for _ in range(2):
                carry, segment, _ = self.segment(carry, carry.batch)
                if self.feedback is not None:
                    carry = carry._replace(guess=self.feedback.towards(segment.logits, carry, 2))
            return generators_at(device) != before

    def _rule(self, stopping: Stopping | None, adaptive: bool) -> Stopping:
        """Return the rule by which rows stop."""
        if stopping is not None:
            stopping.check(self.halting, self.sizes)
        return stopping or self.stopping or (usual_stopping(self.halting) if adaptive else AsTrained())

    def _seen(self, carry: Carry, segment: Segment, score: Tensor) -> Seen:
        """Gather what a stopping rule may look at."""
        answer = segment.logits if self.sizes.targets else segment.logits.argmax(dim=-1)
        halts = self.halting.should_halt(score, carry.age)
        filled = self.encoder.filled_positions(carry.batch.inputs)[:, self.sizes.prefix :]
        return Seen(segment, answer, halts, self.halting.confidence(score), carry.age, filled)


def _put(seats: list[Seat], done: list[int], part: Prediction) -> None:
    """Keep the answers of slots that are done with the batches from which they come."""
    by_batch: dict[Asked, list[int]] = {}
    for slot in done:
        by_batch.setdefault(seats[slot].asked, []).append(slot)
    for asked, slots in by_batch.items():
        asked.put([seats[slot].row for slot in slots], take(index(slots, part.segments), part))


def _reseated(
    line: Line, seats: list[Seat], done: list[int], carry: Carry, memory: Any
) -> tuple[list[Seat], Carry | None, Any]:
    """Give slots that are done the next questions; at the end of the line the others move together."""
    fresh = line.next(len(done))
    filled, empty = done[: len(fresh)], {*done[len(fresh) :]}
    if fresh:
        by_slot = dict(zip(filled, fresh, strict=True))
        seats = [by_slot.get(slot, seat) for slot, seat in enumerate(seats)]
        rows = index(filled, carry.age)
        batch = scatter(rows, gathered(fresh), carry.batch)
        carry = carry._replace(batch=batch, halted=carry.halted.index_fill(0, rows, True))
    if not empty:
        return seats, carry, memory
    stay = [slot for slot in range(len(seats)) if slot not in empty]
    if not stay:
        return [], None, None
    rows = pad(index(stay, carry.age), min(bucket(len(stay)), len(carry.age)))
    return [seats[slot] for slot in stay], *take(rows, (carry, memory))

"""Questions in a line: which wait, which have a slot, and which are answered; it knows no model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import NamedTuple

import torch
from torch import Tensor

from recurlight import slots
from recurlight.types import Batch, Prediction

__all__ = ["Asked", "Line", "Seat", "gathered"]


class Asked:
    """A batch of which some rows are not answered yet.

    Args:
        batch: Questions, `(B, ...)`.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.left = len(batch.task)
        self.found: Prediction | None = None

    def put(self, rows: list[int], part: Prediction) -> None:
        """Keep the answers of some rows, `(R, ...)`."""
        if self.found is None:
            self.found = Prediction(*(leaf.new_empty(self.left, *leaf.shape[1:]) for leaf in part))
        for field, values in zip(self.found, part, strict=True):
            field[rows] = values
        self.left -= len(rows)


class Seat(NamedTuple):
    """The question that a slot works on.

    Attributes:
        asked: Batch from which it comes.
        row: Its row there.
    """

    asked: Asked
    row: int


class Line:
    """Questions in their order, of which as many batches are held as have a row in work.

    A batch is asked for when a slot wants the first of its rows, and given out when the last of them and all
    before are answered.

    Args:
        batches: Questions, `(B, ...)` each; the numbers of rows may differ.

    Example:
        >>> line = Line(iter([Batch(*(torch.tensor([7, 8, 9]) for _ in range(3)))]))
        >>> gathered(line.next(2)).task
        tensor([7, 8])
        >>> len(line.next(2)), len(line.next(2))
        (1, 0)
    """

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.held: deque[Asked] = deque()
        self._waiting = self._rows(batches)

    def _rows(self, batches: Iterable[Batch]) -> Iterator[Seat]:
        for batch in batches:
            asked = Asked(batch)
            self.held.append(asked)
            yield from (Seat(asked, row) for row in range(asked.left))

    def next(self, count: int) -> list[Seat]:
        """Take up to so many questions from the line."""
        return list(islice(self._waiting, count))

    def answered(self) -> Iterator[tuple[Batch, Prediction]]:
        """Give out batches that are answered whole, in order."""
        while self.held and not self.held[0].left:
            asked = self.held.popleft()
            assert asked.found is not None
            yield asked.batch, asked.found


def gathered(seats: list[Seat]) -> Batch:
    """Put questions of any batches together, `(R, ...)`."""
    parts = [
        slots.take(index([seat.row for seat in group], asked.batch.task), asked.batch)
        for asked, group in groupby(seats, key=lambda seat: seat.asked)
    ]
    return Batch(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def index(rows: list[int], like: Tensor) -> Tensor:
    """Return rows as an index on the device of a tensor, `(R,)` int64."""
    return torch.tensor(rows, dtype=torch.int64, device=like.device)

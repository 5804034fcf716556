"""What the generated tasks share: lengths, seeded draws without overlap, padding to one canvas."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurlight.data.base import PuzzleData, Splits
from recurlight.data.counter import UInt64, counter_hash
from recurlight.data.puzzles import Augmentation, Puzzles, joined
from recurlight.data.sequences.shift import shift as shift_puzzles
from recurlight.data.split import Deck
from recurlight.errors import DataError
from recurlight.metrics.by_group import ExactByGroup
from recurlight.metrics.task import TaskMetric
from recurlight.rendering.looks import Looks
from recurlight.rendering.wording import Wording
from recurlight.types import IGNORE, Batch

__all__ = ["Questions", "SequenceData"]

_PAD = 0
_AT_ONCE = 64
"""Questions made together at least: another number would give other questions."""


class Questions(NamedTuple):
    """Questions of one length with their answers, `n` grids of that length's own shape each.

    Attributes:
        questions: Tokens from 1, `(n, rows, columns)`.
        answers: Tokens, `(n, rows, columns)`, `IGNORE` where not supervised.
    """

    questions: NDArray[Any]
    answers: NDArray[Any]


class SequenceData(PuzzleData):
    """Questions made by a rule, for training at one range of lengths and evaluation at any others.

    A task supplies `sample`, and `shape` where it is no plain sequence. Every length lies at the top left of
    one canvas, that of the longest; token 0 fills the rest of it and is not supervised. So one model takes
    all lengths, and the table after validation and test has a row for each: accuracy beyond the training
    lengths against the depth of reasoning.

    Question `i` of a length is a function of `(seed, length, i)`, made when it is needed. Evaluation
    questions are distinct, test and validation share none, and training takes none of either; it repeats
    questions only where short lengths have few. Neither test nor validation changes with `num_train`.

    Training on short lengths needs no canvas of the longest: train with `eval_lengths` among the trained
    ones, and ask a model that takes any length for others by `recurlight test --data.eval_lengths`. A trained
    length of which training held nothing out is warned of.

    Args:
        symbols: What tokens 1, 2, ... look like; the vocabulary is one more.
        length: Longest training length.
        min_length: Shortest training length; None for `length`. All between are equally frequent.
        eval_lengths: Lengths to evaluate; None for `length`.
        shift: Train at drawn places of the canvas, so that no position is new at a greater length.
        num_train: Training questions over all lengths.
        num_val: Validation questions of each evaluation length.
        num_test: Test questions of each evaluation length.
        settings: Those of `PuzzleData` on batches, workers and the seed.

    Raises:
        DataError: A length or number is out of range, or there are not so many different questions.
    """

    split_by = ("seed", "num_val", "num_test")

    def __init__(
        self,
        *,
        symbols: Sequence[str],
        length: int = 8,
        min_length: int | None = None,
        eval_lengths: list[int] | None = None,
        shift: bool = False,
        num_train: int = 10_000,
        num_val: int = 200,
        num_test: int = 500,
        **settings: Any,
    ) -> None:
        self.min_length = length if min_length is None else min_length
        self.length = length
        self.eval_lengths = sorted(set(eval_lengths or [length]))
        self._check(num_train=num_train, num_val=num_val, num_test=num_test)
        rows, columns = zip(*map(self.shape, (length, *self.eval_lengths)), strict=True)
        super().__init__(vocab_size=len(symbols) + 1, grid_shape=(max(rows), max(columns)), **settings)
        self.symbols = symbols
        self.shift = shift
        self.num_train = num_train
        self.num_val = num_val
        self.num_test = num_test

    def _check(self, **counts: int) -> None:
        if not 1 <= self.min_length <= self.length:
            raise DataError(
                f"min_length is {self.min_length}, length {self.length}: "
                "set 1 <= data.min_length <= data.length"
            )
        if self.eval_lengths[0] < 1:
            raise DataError(
                f"eval_lengths has {self.eval_lengths[0]}: set data.eval_lengths to 1 or more each"
            )
        for name, count in counts.items():
            if count < 0:
                raise DataError(f"{name} is {count}: set data.{name} to 0 or more")

    @abstractmethod
    def sample(self, length: int, keys: UInt64) -> Questions:
        """Make one question of that length from each key.

        Args:
            length: Length of all of them.
            keys: Source of all randomness, `(n,)` uint64, for `recurlight.data.counter.draws`.
        """

    def shape(self, length: int) -> tuple[int, int]:
        """Return the rows and columns of a question of that length; more for a longer one."""
        return 1, length

    def load(self) -> Splits:
        """Draw the questions of every length."""
        lengths = range(self.min_length, self.length + 1)
        shares = np.diff(np.linspace(0, self.num_train, len(lengths) + 1).astype(np.int64))
        wanted = dict(zip(lengths, shares.tolist(), strict=True))
        found = [self._load(n, wanted.get(n, 0)) for n in sorted({*lengths, *self.eval_lengths})]
        return Splits(*(joined(parts) for parts in zip(*found, strict=True)))

    def _load(self, length: int, num_train: int) -> Splits:
        """Draw the questions of one length."""
        evaluated = int(length in self.eval_lengths)
        deck = Deck(partial(self._puzzles, length), least=_AT_ONCE)
        # The test comes first, so that it depends on no other count; training, the last, may repeat its own.
        counts = {"test": self.num_test * evaluated, "val": self.num_val * evaluated, "train": num_train}
        parts = {}
        for part, count in counts.items():
            parts[part] = deck.deal(count, once=part != "train")
            found = len(parts[part].inputs)
            if found < count:
                raise DataError(
                    f"{type(self).__name__} of length {length} has {found} questions that no other part "
                    f"took, num_{part} asks for {count}: lower data.num_{part}"
                )
        return Splits(**parts)

    def _puzzles(self, length: int, numbers: range) -> Puzzles:
        """Make the questions of some numbers, on the canvas of the longest."""
        made = self.sample(
            length, counter_hash(self.seed, (1 << 32) + length, np.arange(numbers.start, numbers.stop))
        )
        (rows, columns), n = self.grid_shape, len(numbers)
        canvas = [np.full((n, rows, columns), fill, dtype=np.int16) for fill in (_PAD, IGNORE)]
        for grid, part in zip(canvas, made, strict=True):
            grid[:, : part.shape[1], : part.shape[2]] = part
        inputs, labels = (grid.reshape(n, rows * columns) for grid in canvas)
        return Puzzles(inputs, labels, np.zeros(n, dtype=np.uint8))

    def divided_otherwise(self, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
        """Name what divides questions, and lengths that were trained on with nothing held out."""
        longest = then.get("length", 0)
        trained = range(longest if then.get("min_length") is None else then["min_length"], longest + 1)
        held_out = {*(then.get("eval_lengths") or [longest])}
        known = "eval_lengths" in then and any(n in trained for n in {*self.eval_lengths} - held_out)
        return super().divided_otherwise(then, now) + ["eval_lengths"] * known

    def augmentation(self) -> Augmentation | None:
        """Return the shifts over the canvas, or None if `shift` is off."""
        return partial(shift_puzzles, grid_shape=self.grid_shape) if self.shift else None

    def task_metric(self, split: str) -> TaskMetric | None:
        """Return the exact accuracy of each evaluation length, None when there is only one."""
        if len(self.eval_lengths) == 1:
            return None
        cells = tuple(prod(self.shape(length)) for length in self.eval_lengths)
        return ExactByGroup(
            "length", list(map(str, self.eval_lengths)), partial(_place_of_length, cells=cells)
        )

    def wording(self) -> Wording:
        """The symbols; an answer is as long as its question."""
        return Wording.of(self.looks, self.vocab_size, padded=True)

    @cached_property
    def looks(self) -> Looks:
        """The symbols; dots where there is nothing."""
        return Looks(self.grid_shape, texts=[".", *self.symbols])


def _place_of_length(batch: Batch, cells: tuple[int, ...]) -> Tensor:
    """Tell from the cells that are filled which of the ascending lengths each question has, `(B,)`."""
    filled = (batch.inputs != _PAD).sum(dim=1)
    return sum((filled >= least for least in cells[1:]), torch.zeros_like(filled))

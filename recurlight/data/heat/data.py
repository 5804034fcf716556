"""Heat flow on a square plate that has come to rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from recurlight.data.base import PuzzleData, Splits
from recurlight.data.counter import UInt64, counter_hash, draws
from recurlight.data.heat.solve import steady_state
from recurlight.data.puzzles import Puzzles
from recurlight.data.split import Deck
from recurlight.errors import DataError

__all__ = ["HeatData"]

_AT_ONCE = 64
_WAVES = 3
_PROBLEMS = 1 << 33  # stream of the seed


class HeatData(PuzzleData):
    """Temperatures at the rim of a square plate are given; asked are those inside once no heat flows.

    A question has two numbers in each cell: its temperature where it is held and 0 elsewhere, and 1 where it
    is held. An answer has one, the temperature; where it is held it is not supervised. The right answer is
    that of a direct solver, `recurlight.data.heat.solve.steady_state`: each free cell has the mean of its
    four neighbors.

    Along the rim the temperature is a sum of waves with 0 to 3 periods, drawn anew for each problem, and
    scaled to a largest magnitude of 1. Inside, up to `plates` cells are held as well, each at a temperature
    between -1 and 1, so that the answer is not one linear map of the rim. Problem `i` is a function of
    `(seed, i)`: test problems come first, then validation, then training.

    Args:
        size: Rows and columns of the plate, the rim included, at least 3.
        plates: Largest number of cells that are held inside; how many, is drawn for each problem.
        num_train: Training problems.
        num_val: Validation problems.
        num_test: Test problems.
        settings: Those of `PuzzleData` on batches, workers and the seed.

    Raises:
        DataError: A setting is out of range.

    Example:
        >>> data = HeatData(size=6, num_train=10, num_val=2, num_test=2)
        >>> data.features, data.targets, data.splits.train.inputs.shape, data.splits.train.labels.shape
        (2, 1, (10, 36, 2), (10, 36, 1))
    """

    split_by = ("seed", "num_val", "num_test")

    def __init__(
        self,
        size: int = 12,
        plates: int = 0,
        num_train: int = 10_000,
        num_val: int = 200,
        num_test: int = 500,
        **settings: Any,
    ) -> None:
        if size < 3:
            raise DataError(f"size is {size}: set data.size to 3 or more, so that there is something inside")
        super().__init__(features=2, targets=1, grid_shape=(size, size), **settings)
        inside = (size - 2) ** 2
        if not 0 <= plates < inside:
            raise DataError(
                f"plates is {plates}: set data.plates from 0 to {inside - 1}, for {inside} cells are inside"
            )
        for name, count in (("num_train", num_train), ("num_val", num_val), ("num_test", num_test)):
            if count < 0:
                raise DataError(f"{name} is {count}: set data.{name} to 0 or more")
        self.plates, self.counts = plates, (num_train, num_val, num_test)

    def load(self) -> Splits:
        """Make the problems of all parts."""
        deck = Deck(self._problems, least=_AT_ONCE)
        # The test comes first, so that it depends on no other count; training, the last, may repeat its own.
        parts = {}
        for part, count in zip(("test", "val", "train"), reversed(self.counts), strict=True):
            parts[part] = deck.deal(count, once=part != "train")
            found = len(parts[part].inputs)
            if found < count:
                raise DataError(
                    f"HeatData has {found} problems that no other part took, num_{part} asks for {count}: "
                    f"lower data.num_{part}"
                )
        return Splits(**parts)

    def _problems(self, indices: range) -> Puzzles:
        """Make the problems of some numbers."""
        numbers = np.arange(indices.start, indices.stop)
        keys = counter_hash(self.seed, _PROBLEMS, numbers)
        temperature, held = self._held(keys)
        answers = np.where(held, np.nan, steady_state(temperature, held))
        questions = np.stack([temperature, held], axis=3).astype(np.float32)
        size = len(numbers), self.seq_len
        return Puzzles(
            questions.reshape(*size, 2),
            answers.astype(np.float32).reshape(*size, 1),
            np.zeros(size[0], np.uint8),
        )

    def _held(self, keys: UInt64) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Draw what is held, `(n, rows, columns)` temperatures that are 0 elsewhere, and where."""
        size, n = self.grid_shape[0], len(keys)
        temperature, held = np.zeros((n, size, size)), np.zeros((n, size, size), dtype=bool)
        rim = _rim(size)
        temperature[:, rim[0], rim[1]], held[:, rim[0], rim[1]] = _waves(keys, len(rim[0])), True
        inside = (size - 2) ** 2
        order = draws(keys, 1, inside).argsort(axis=1).argsort(axis=1)
        count = draws(keys, 2, 1) % np.uint64(self.plates + 1)
        plates = (order < count.astype(np.int64)).reshape(n, size - 2, size - 2)
        held[:, 1:-1, 1:-1] = plates
        temperature[:, 1:-1, 1:-1] = np.where(
            plates, _uniform(draws(keys, 3, inside)).reshape(plates.shape), 0
        )
        return temperature, held

    def levels(self, numbers: Tensor) -> Tensor:
        """Return nine shades from cold to hot, `(B, L)`, and 0 where a question asks."""
        shades = super().levels(numbers)
        return shades * (numbers[..., 1] > 0) if numbers.shape[-1] == self.features else shades


def _rim(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the rim's cells, clockwise from the top left, `4 * (size - 1)` of them."""
    way, last = np.arange(size - 1), np.full(size - 1, size - 1)
    rows = np.concatenate([0 * way, way, last, last - way])
    columns = np.concatenate([way, last, last - way, 0 * way])
    return rows, columns


def _waves(keys: UInt64, cells: int) -> NDArray[np.float64]:
    """Draw the temperatures along the rim, `(n, cells)`, of largest magnitude 1."""
    weights = _uniform(draws(keys, 0, 2 * _WAVES + 1))  # (n, 7)
    angle = 2 * np.pi * np.arange(1, _WAVES + 1)[:, None] * np.arange(cells) / cells  # (3, cells)
    basis = np.concatenate([np.ones((1, cells)), np.cos(angle), np.sin(angle)])
    rim = weights @ basis
    scaled: NDArray[np.float64] = rim / np.abs(rim).max(axis=1, keepdims=True)
    return scaled


def _uniform(values: UInt64) -> NDArray[np.float64]:
    """Turn random bits into numbers between -1 and 1."""
    return (values >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1

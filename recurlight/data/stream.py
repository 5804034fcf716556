"""Data sets whose items are whole batches."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from recurlight.data.counter import UInt64, augmentation_keys, puzzle_rows, visits
from recurlight.data.puzzles import Augmentation, Puzzles, Variants, are_numbers
from recurlight.errors import DataError
from recurlight.types import IGNORE, Batch, unsupervised

__all__ = ["EvaluationBatches", "Share", "TrainingBatches", "answered", "require_integers"]


def answered(questions: NDArray[Any], answers: NDArray[Any] | None = None) -> Puzzles:
    """Return puzzles of one task; where there are no answers, nothing is supervised.

    Args:
        questions: Tokens, `(n, L)`.
        answers: Tokens, `(n, L)`; None where they are not known.
    """
    labels = np.full(questions.shape, IGNORE, dtype=np.int8) if answers is None else answers
    return Puzzles(questions, labels, np.zeros(len(questions), dtype=np.uint8))


class Share(NamedTuple):
    """Which part of every global batch this process handles."""

    rank: int = 0
    world_size: int = 1

    def of(self, rows: int) -> tuple[int, int]:
        """Return the bounds of this rank's contiguous share of `rows` rows.

        Example:
            >>> Share(rank=1, world_size=2).of(768)
            (384, 768)
        """
        return self.rank * rows // self.world_size, (self.rank + 1) * rows // self.world_size


def require_integers(puzzles: Puzzles, where: str, floats: bool = False) -> None:
    """Refuse all but arrays of integers, or of numbers for each cell, whose types and axes alone count.

    Args:
        puzzles: What to look at.
        where: What they are called, for messages.
        floats: Let all floating-point numbers pass, because somebody will see that they are whole.

    Raises:
        DataError: With the array and what to do.
    """
    for name, field in zip(puzzles._fields, puzzles, strict=True):
        if not isinstance(field, np.ndarray):
            raise DataError(f"{where}.{name} is a {type(field).__name__}: make it a numpy array of integers")
        if field.dtype.kind not in ("biuf" if floats or are_numbers(field) else "biu"):
            raise DataError(f"{where}.{name} has the dtype {field.dtype}: make it an array of integers")


def _batch(puzzles: Puzzles) -> Batch:
    require_integers(puzzles, "augmentation or variants: puzzles")
    kinds = (np.float32 if are_numbers(field) else np.int64 for field in puzzles)
    return Batch(*(torch.from_numpy(field.astype(kind)) for field, kind in zip(puzzles, kinds, strict=True)))


class TrainingBatches(Dataset[Batch]):
    """Batches of the endless training stream; item `t` is this rank's share of global batch `t`.

    There is no length: Lightning's search for a batch size would take it for the number of samples.

    Sample `k` of the stream is puzzle `permutation(seed, k // n)[k % n]`, augmented with `hash(seed, k)`;
    batch `t` holds samples `t * B` to `(t + 1) * B - 1`. Nothing else matters: not the number of ranks,
    not the workers, not where a run was interrupted. Where tasks are visited as wholes, `visits` says which
    puzzle sample `k` is.

    Args:
        puzzles: Training puzzles, at least one.
        augmentation: Function that varies them, None for none.
        seed: Any integer.
        batch_size: Samples `B` of a global batch.
        share: This rank's part of it.
        steps: Length of an epoch in batches.
        by_task: Visit tasks as wholes.
    """

    def __init__(
        self,
        puzzles: Puzzles,
        augmentation: Augmentation | None,
        *,
        seed: int,
        batch_size: int,
        share: Share,
        steps: int,
        by_task: bool = False,
    ) -> None:
        self.puzzles = puzzles
        self.augmentation = augmentation
        self.seed = seed
        self.batch_size = batch_size
        self.share = share
        self.steps = steps
        self.by_task = by_task

    def order(self) -> dict[str, int]:
        """Return all on which the order of the samples depends; the number of ranks is not among it."""
        return {
            "data.seed": self.seed,
            "data.batch_size": self.batch_size,
            "data.epoch_samples": self.steps * self.batch_size,
            "number of training puzzles": len(self.puzzles.inputs),
        }

    def __getitem__(self, step: int) -> Batch:
        # The rank enters here alone: what each sample is was decided by its number in the whole run.
        low, high = self.share.of(self.batch_size)
        rows, keys = self.draw(np.arange(step * self.batch_size + low, step * self.batch_size + high))
        puzzles = self.puzzles.rows(rows)
        if self.augmentation is not None:
            puzzles = self.augmentation(puzzles, keys)
        return _batch(puzzles)

    def draw(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], UInt64]:
        """Return puzzle and augmentation key of samples of the stream."""
        if self.by_task:
            return visits(self.seed, samples, self.puzzles.task)
        rows = puzzle_rows(self.seed, samples, len(self.puzzles.inputs))
        return rows, augmentation_keys(self.seed, samples)


class EvaluationBatches(Dataset[Batch]):
    """Each puzzle once over all ranks, in file order, or each in several variants, one after the other.

    Row `i` is puzzle `i // n` in variant `i % n`. Every rank has the same number of batches, as
    synchronized logging needs. Where the last global batch leaves a rank without a puzzle, that rank gets one
    *padding row*, zeros with labels of which none is supervised; metrics leave out rows without supervised
    labels, and predictions those that `Batch.asked` leaves out.

    Args:
        puzzles: Puzzles of a split, possibly none.
        batch_size: Puzzles of a global batch.
        share: This rank's part of it.
        variants: Variants of every puzzle, `n` of them; None for the puzzle as it is.
    """

    def __init__(
        self, puzzles: Puzzles, *, batch_size: int, share: Share, variants: Variants | None = None
    ) -> None:
        self.puzzles = puzzles
        self.batch_size = batch_size
        self.share = share
        self.variants = variants
        self.rows = len(puzzles.inputs) * (variants.per_puzzle if variants else 1)

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        first = step * self.batch_size
        low, high = self.share.of(self.batch_size)
        rows = np.arange(min(first + low, self.rows), min(first + high, self.rows))
        if len(rows):
            return self.batch(rows)
        # A rank with fewer batches than others would wait for them in the next collective for ever.
        row = self.batch(np.zeros(1, dtype=np.int64))
        return row._replace(inputs=torch.zeros_like(row.inputs), labels=unsupervised(row.labels))

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """Return some rows of the pass."""
        if self.variants is None:
            return _batch(self.puzzles.rows(rows))
        puzzle, variant = np.divmod(rows, self.variants.per_puzzle)
        return _batch(self.variants.apply(self.puzzles.rows(puzzle), variant))

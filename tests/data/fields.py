"""Puzzles of numbers, with some that are not supervised."""

from __future__ import annotations

import numpy as np

from recurlight.data import PuzzleData, Puzzles, Splits


def fields(count: int, seed: int = 0) -> Puzzles:
    """Two random numbers in each of four cells; asked is half their sum, but not in the last cell."""
    inputs = np.random.default_rng(seed).normal(size=(count, 4, 2)).astype(np.float32)
    labels = inputs.sum(axis=2, keepdims=True) / 2
    labels[:, 3] = np.nan
    return Puzzles(inputs, labels, np.zeros(count, dtype=np.uint8))


class Fields(PuzzleData):
    """Fields of 2 x 2; augmentation scales them by the key."""

    def __init__(self, counts=(10, 7, 5), vary=True, parts=None, **settings) -> None:
        super().__init__(**({"features": 2, "targets": 1, "grid_shape": (2, 2)} | settings))
        self.counts, self.vary, self.parts = counts, vary, parts or {}

    def load(self) -> Splits:
        drawn = (fields(count, seed) for seed, count in enumerate(self.counts))
        return Splits(*drawn)._replace(**self.parts)

    def augmentation(self):
        return scaled if self.vary else None


def scaled(puzzles: Puzzles, keys) -> Puzzles:
    factor = 1 + (keys % np.uint64(4)).astype(np.float64)[:, None, None]
    return Puzzles(puzzles.inputs * factor, puzzles.labels * factor, puzzles.task)

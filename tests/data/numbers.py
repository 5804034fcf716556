"""Puzzles that tell their own number."""

from __future__ import annotations

import numpy as np

from recurlight.data.base import PuzzleData, Splits
from recurlight.data.puzzles import Puzzles


def numbered(count: int) -> Puzzles:
    cells = np.arange(count)[:, None].repeat(4, axis=1)
    return Puzzles(cells, cells, np.zeros(count, dtype=np.uint8))


class Numbers(PuzzleData):
    """Puzzle `i` is four times the number `i`; augmentation writes the key's last byte over the labels."""

    def __init__(self, counts=(10, 7, 5), **settings) -> None:
        super().__init__(vocab_size=max(300, *counts), grid_shape=(2, 2), **settings)
        self.counts = counts
        self.loads = 0

    def load(self) -> Splits:
        self.loads += 1
        return Splits(*map(numbered, self.counts))

    def augmentation(self):
        return low_byte

    def render(self, tokens) -> str:
        return " ".join(map(str, tokens))


def low_byte(puzzles, keys):
    return puzzles._replace(labels=(keys % np.uint64(256))[:, None].repeat(4, axis=1))

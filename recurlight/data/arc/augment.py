"""Variants of ARC tasks, made when they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recurlight.data.arc.grid import grid_sizes, move, symmetries
from recurlight.data.counter import UInt64, draws
from recurlight.data.puzzles import Puzzles
from recurlight.types import IGNORE

__all__ = ["ArcAugmentation", "vary"]

_PLACE = 0


def vary(
    puzzles: Puzzles,
    variant: NDArray[np.int64],
    *,
    seed: int,
    variants: int,
    canvas: int,
    keys: UInt64 | None = None,
    pairs: NDArray[np.int64] | None = None,
) -> Puzzles:
    """Turn puzzles of plain tasks into those of a variant, with that variant's identity as their task.

    Every grid of a puzzle undergoes the symmetry of the identity `task + variant`. With keys, all of them are
    also shifted by the same drawn number of places, as far as they stay on the canvas; of a task with `n`
    pairs each stays at the top left with probability `1 / n`, for that is where evaluation asks.

    Args:
        puzzles: Inputs `(B, b * C * C)` of `b` grids and labels of the same shape, the last grid supervised;
            their task is the identity of variant 0.
        variant: `(B,)` from 0.
        seed: Seed of the symmetries.
        variants: Variants of each task, itself included.
        canvas: Rows and columns `C` of a grid's canvas.
        keys: `(B,)` for the places; None for the top left.
        pairs: Pairs of each task, needed with keys.
    """
    identity = puzzles.task + variant
    symmetry = symmetries(seed, identity, variants)
    questions = puzzles.inputs.reshape(len(variant), -1, canvas, canvas)  # (B, b, C, C)
    answers = puzzles.labels.reshape(questions.shape)[:, -1:]
    grids = np.concatenate([questions, answers.clip(min=0)], axis=1)  # (B, b + 1, C, C)
    sizes = grid_sizes(grids)
    offsets = None
    if keys is not None and pairs is not None:
        extent = np.where(symmetry.turned[:, None, None], sizes[..., ::-1], sizes).max(axis=1)  # (B, 2)
        offsets = _places(keys, canvas - extent, pairs[puzzles.task // variants])
    grids = move(grids, symmetry, sizes, offsets)
    labels = np.full_like(grids[:, 1:], IGNORE)
    labels[:, -1] = np.where(grids[:, -1] > 0, grids[:, -1], IGNORE)
    flat = (len(variant), -1)
    return Puzzles(grids[:, :-1].reshape(flat), labels.reshape(flat), identity)


def _places(keys: UInt64, room: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw places down and right, `(B, 2)`, uniform over the room `(B, 2)`; none for one in `pairs`."""
    stay, *places = draws(keys, _PLACE, 3).T
    offsets = np.stack(places, axis=1) % (room + 1).astype(np.uint64)
    offsets[stay % pairs.astype(np.uint64) == 0] = 0
    return offsets.astype(np.int64)


@dataclass(frozen=True, eq=False)
class ArcAugmentation:
    """The augmentation of training: a variant for each visit of a task, a place for each of its pairs.

    Args:
        seed: Seed of the symmetries.
        variants: Variants of each task, itself included.
        canvas: Rows and columns of a grid's canvas.
        pairs: Pairs of each task, `(tasks,)`; None to leave every grid at the top left.
    """

    seed: int
    variants: int
    canvas: int
    pairs: NDArray[np.int64] | None

    def __call__(self, puzzles: Puzzles, keys: UInt64) -> Puzzles:
        """Vary `B` puzzles; the upper halves of the keys `(B,)` draw the variants, whole keys the places."""
        variant = ((keys >> np.uint64(32)) % np.uint64(self.variants)).astype(np.int64)
        sizes = {"variants": self.variants, "canvas": self.canvas}
        return vary(puzzles, variant, seed=self.seed, keys=keys, pairs=self.pairs, **sizes)

"""Symmetries of puzzles: the same puzzle asked in another guise, and its answer in the old one."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurlight.data.counter import UInt64, symmetry_keys
from recurlight.data.puzzles import Puzzles
from recurlight.data.split import fingerprints
from recurlight.errors import DataError
from recurlight.types import IGNORE, Batch

__all__ = ["Symmetry", "SymmetryGroup", "drawn_symmetries", "square_turns", "varied"]


class Symmetry(NamedTuple):
    """One symmetry for each row: tokens are renamed and cells moved, and the right answer moves along.

    `question'[i] = inputs[question[cells[i]]]`, `answer'[i] = labels[answer[answers[i]]]`: `answer'` solves
    `question'` if and only if `answer` solves `question`.

    Attributes:
        cells: Where each cell of a changed question comes from, `(B, L)` int64, a permutation in each row.
        inputs: New token of each token of a question, `(B, V)` int64, a permutation in each row.
        labels: New token of each token of an answer, likewise; mostly the same.
        answers: Where each cell of a changed answer comes from, as `cells`; None for the same cells.

    Example:
        >>> turn = Symmetry.of(np.array([[1, 2, 0]]), np.array([0, 2, 1, 3]))
        >>> turn.apply(torch.tensor([[1, 2, 3]])), turn.answer(torch.tensor([[1, IGNORE, 3]]))
        (tensor([[1, 3, 2]]), tensor([[-100,    3,    2]]))
        >>> turn.undo(torch.tensor([[1, 3, 2]]))
        tensor([[1, 2, 3]])
    """

    cells: Tensor
    inputs: Tensor
    labels: Tensor
    answers: Tensor | None = None

    @classmethod
    def of(cls, cells: NDArray[Any], names: NDArray[Any], answers: NDArray[Any] | None = None) -> Symmetry:
        """Make a symmetry that renames questions and answers alike from arrays.

        Args:
            cells: `(B, L)` integers.
            names: New token of each token, `(B, V)` integers, or `(V,)` for all rows.
            answers: `(B, L)` integers; None for `cells`.
        """
        every = np.broadcast_to(names, (len(cells), np.shape(names)[-1]))
        kept = torch.from_numpy(every.astype(np.int64))
        moved = (None if field is None else torch.from_numpy(field.astype(np.int64)) for field in (answers,))
        return cls(torch.from_numpy(cells.astype(np.int64)), kept, kept, *moved)

    def to(self, device: torch.device | str) -> Symmetry:
        """Return the same symmetry on a device."""
        return Symmetry(*(None if field is None else field.to(device) for field in self))  # type: ignore[arg-type]

    def _answers(self) -> Tensor:
        return self.cells if self.answers is None else self.answers

    def apply(self, tokens: Tensor) -> Tensor:
        """Return the changed questions.

        Args:
            tokens: Questions, `(B, L)` int64.
        """
        return self.inputs.gather(1, tokens.gather(1, self.cells))

    def answer(self, tokens: Tensor) -> Tensor:
        """Return answers of the changed questions.

        Args:
            tokens: Answers of the questions as they were, `(B, L)` int64; `IGNORE` stays `IGNORE`.
        """
        moved = tokens.gather(1, self._answers())
        return torch.where(moved == IGNORE, moved, self.labels.gather(1, moved.clamp(min=0)))

    def undo(self, tokens: Tensor) -> Tensor:
        """Return answers of the questions as they were: the inverse of `answer`.

        Args:
            tokens: Answers of the changed questions, `(B, L)` int64; `IGNORE` stays `IGNORE`.
        """
        moved = tokens.gather(1, self._answers().argsort(dim=1))
        return torch.where(moved == IGNORE, moved, self.labels.argsort(dim=1).gather(1, moved.clamp(min=0)))

    def undo_logits(self, logits: Tensor) -> Tensor:
        """Return the logits of answers of the questions as they were: `undo` of their largest is the largest.

        Args:
            logits: Of answers of the changed questions, `(B, L, V)`.
        """
        moved = logits.gather(1, self._answers().argsort(dim=1)[:, :, None].expand_as(logits))
        return moved.gather(2, self.labels[:, None].expand_as(logits))


SymmetryGroup = Callable[[NDArray[Any], UInt64], Symmetry]
"""`(questions (B, L), keys (B,) uint64) -> Symmetry`: for each row one symmetry, drawn from its key alone."""


@lru_cache(maxsize=16)
def square_turns(size: int) -> NDArray[np.int64]:
    """Return the 4 rotations of the cells of a square and of their mirror image, `(8, size * size)`.

    Example:
        >>> square_turns(2)[:2].tolist()
        [[0, 1, 2, 3], [1, 3, 0, 2]]
    """
    cells = np.arange(size * size).reshape(size, size)
    turned = [np.rot90(side, turns).reshape(-1) for side in (cells, cells.T) for turns in range(4)]
    return np.stack(turned)


def drawn_symmetries(
    group: SymmetryGroup, batch: Batch, seed: int, chain: int, *, vocab: int, where: str
) -> Symmetry:
    """Draw a symmetry for each row, from `(seed, chain, question and task of the row)` and nothing else.

    Args:
        group: Draws from keys.
        batch: Questions, tokens `(B, L)` on any device.
        seed: Any integer.
        chain: Number of the draw, from 0.
        vocab: Vocabulary `V`.
        where: What the group is called, for messages.

    Returns:
        Symmetries on the device of the batch.

    Raises:
        DataError: Questions or answers are numbers, or the group draws what cannot be undone.
    """
    if batch.inputs.is_floating_point() or batch.labels.is_floating_point():
        raise DataError(f"{where} renames tokens, and these puzzles have numbers: search without symmetries")
    questions, task = batch.inputs.cpu().numpy(), batch.task.cpu().numpy()
    keys = symmetry_keys(seed, chain, fingerprints(Puzzles(questions, questions, task)))
    symmetry = group(questions, keys)
    for name, field in zip(symmetry._fields, symmetry, strict=True):
        size = vocab if name in ("inputs", "labels") else questions.shape[1]
        if field is not None:
            _require_permutations(field, (len(questions), size), f"{where}: {name}")
    return symmetry.to(batch.inputs.device)


def _require_permutations(field: Tensor, shape: tuple[int, int], where: str) -> None:
    if tuple(field.shape) != shape or field.dtype != torch.int64:
        raise DataError(f"{where} is {tuple(field.shape)} {field.dtype}: return {shape} int64")
    wrong = (field.sort(dim=1).values != torch.arange(shape[1])).any(dim=1)
    if wrong.any():
        row = int(wrong.int().argmax())
        raise DataError(
            f"{where}[{row}] is {field[row].tolist()}: return each of 0 to {shape[1] - 1} once, or answers "
            "cannot be brought back"
        )


def varied(puzzles: Puzzles, keys: UInt64, *, group: SymmetryGroup) -> Puzzles:
    """Change puzzles by drawn symmetries: with `functools.partial`, an augmentation of any group.

    Args:
        puzzles: `(B, L)` tokens.
        keys: `(B,)` uint64; equal keys draw equal symmetries.
        group: Draws from keys, picklable for workers.

    Returns:
        Puzzles of the same shapes and dtypes.

    Example:
        >>> def turn(questions, keys):
        ...     steps = (keys % 3).astype(np.int64)[:, None]
        ...     return Symmetry.of((np.arange(3) + steps) % 3, np.arange(9))
        >>> rows = np.array([[5, 6, 7]])
        >>> varied(Puzzles(rows, rows, rows[:, 0]), np.array([7], dtype=np.uint64), group=turn).inputs
        array([[6, 7, 5]])
    """
    symmetry = group(puzzles.inputs, keys)
    inputs, labels = (torch.from_numpy(part.astype(np.int64)) for part in puzzles[:2])
    return Puzzles(
        symmetry.apply(inputs).numpy().astype(puzzles.inputs.dtype),
        symmetry.answer(labels).numpy().astype(puzzles.labels.dtype),
        puzzles.task,
    )

"""What the numbers of tasks and tokens stood for in training: under other names they mean something else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import nn

from recurlight.codec.task_table import tables_of
from recurlight.data.base import PuzzleData
from recurlight.errors import CheckpointMismatch

__all__ = ["digests", "settled"]

_ADVICE = {
    "tasks": "give the data's settings that it was trained with, or set resize of the encoder's task_table "
    "to true, to begin every task at their mean",
    "symbols": "set data.alphabet to that of its training",
}


def digests(data: PuzzleData | None) -> dict[str, str]:
    """Hash what the numbers in data stand for, as far as the data tell; see `PuzzleData.names`."""
    names = {} if data is None else data.names()
    return {kind: hashlib.sha256(json.dumps(what).encode()).hexdigest() for kind, what in names.items()}


def settled(
    model: nn.Module, there: Mapping[str, str], here: Mapping[str, str], told_apart: bool
) -> dict[str, str]:
    """Insist that numbers stand for what they did in training, or let tasks begin anew where they may.

    Args:
        model: Whose tables set to `resize` forget tasks that have become others.
        there: Hashes of the training's data.
        here: Hashes of the data at hand.
        told_apart: Whether the model has vectors of tasks; otherwise their names do not matter.

    Returns:
        The hashes that go with the model from now on.

    Raises:
        CheckpointMismatch: With what to do.

    Example:
        >>> settled(nn.Identity(), {"symbols": "a"}, {"symbols": "b"}, told_apart=False)
        Traceback (most recent call last):
        recurlight.errors.CheckpointMismatch: the model was trained on other symbols than these data have, ...
    """
    other = [kind for kind in _ADVICE if kind in there and kind in here and there[kind] != here[kind]]
    if "tasks" in other and (not told_apart or _forget_tasks(model)):
        other.remove("tasks")
    if other:
        raise CheckpointMismatch(
            f"the model was trained on other {other[0]} than these data have, or on the same in another "
            f"order: {_ADVICE[other[0]]}"
        )
    return {**there, **here}


@torch.no_grad()
def _forget_tasks(model: nn.Module) -> bool:
    """Set every task's vector to the mean of all where the tables allow it; tell whether there are any."""
    tables = [table for table in tables_of(model).values() if table.resize]
    for table in tables:
        table.rows.copy_(table.rows.mean(dim=0).expand_as(table.rows))
    return bool(tables)

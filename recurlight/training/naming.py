"""What the numbers of tasks and tokens stood for in training: under other names they mean something else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from lightning.pytorch.utilities import rank_zero_warn
from torch import nn

from recurlight.codec.task_table import forgetful_tables
from recurlight.data.base import PuzzleData
from recurlight.errors import CheckpointMismatch

__all__ = ["digests", "others"]

_ADVICE = {
    "tasks": "give the data's settings that it was trained with, or set resize of the encoder's task_table "
    "to true, to begin every task at their mean",
    "tokenizers": "set data.tokens to the tokenizer of its training",
    "symbols": "set data.alphabet and data.tokens to those of its training",
}


def digests(data: PuzzleData | None) -> dict[str, str]:
    """Hash what the numbers in data stand for, as far as the data tell; see `PuzzleData.names`."""
    names = {} if data is None else data.names()
    return {kind: hashlib.sha256(json.dumps(what).encode()).hexdigest() for kind, what in names.items()}


def others(
    model: nn.Module,
    there: Mapping[str, str],
    here: Mapping[str, str],
    *,
    told_apart: bool,
    anew: bool = False,
) -> bool:
    """Refuse numbers that mean other things than in training, but for tasks that may have the mean of all.

    Args:
        model: Its tables set to `resize` may be used for other tasks.
        there: Hashes of the training's data.
        here: Hashes of the data at hand.
        told_apart: Whether the model has vectors of tasks; otherwise their names do not matter.
        anew: Whether a training begins, which may learn what is other: it is warned of.

    Returns:
        Whether the tasks are others than the vectors were trained for.

    Raises:
        CheckpointMismatch: With what to do.

    Example:
        >>> others(nn.Identity(), {"symbols": "a"}, {"symbols": "b"}, told_apart=False)
        Traceback (most recent call last):
        recurlight.errors.CheckpointMismatch: the model was trained on other symbols than these data have, ...
    """
    other = [kind for kind in _ADVICE if kind in there and kind in here and there[kind] != here[kind]]
    apart = told_apart and "tasks" in other
    if "tasks" in other and (not apart or forgetful_tables(model)):
        other.remove("tasks")
    if other:
        message = (
            f"the model was trained on other {' and '.join(other)} than these data have, or on the same in "
            f"another order: {_ADVICE[other[0]]}"
        )
        if not anew:
            raise CheckpointMismatch(message)
        rank_zero_warn(f"{message}; training begins with what was learnt of the others")
    return apart

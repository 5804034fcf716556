"""Checkpoints: whether one fits a model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from recurlight.errors import CheckpointMismatch
from recurlight.sparse_table import tables_of

__all__ = ["require_fitting", "require_same_weights"]

SHOWN = 3


def require_same_weights(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """Insist on the same names and shapes.

    Args:
        ours: State dict of the model.
        theirs: State dict of the checkpoint.

    Raises:
        CheckpointMismatch: Listing keys that differ.

    Example:
        >>> import torch
        >>> require_same_weights({"a": torch.zeros(2)}, {"a": torch.zeros(3)})
        Traceback (most recent call last):
        recurlight.errors.CheckpointMismatch: ...: a is (3,) there and (2,) here; ...
    """
    differences = [f"{key} is missing there" for key in ours if key not in theirs]
    differences += [f"{key} is unknown here" for key in theirs if key not in ours]
    differences += [
        f"{key} is {tuple(theirs[key].shape)} there and {tuple(ours[key].shape)} here"
        for key in ours
        if key in theirs and ours[key].shape != theirs[key].shape
    ]
    if differences:
        more = f", and {len(differences) - SHOWN} more differences" if len(differences) > SHOWN else ""
        raise CheckpointMismatch(
            f"the checkpoint is of another architecture: {', '.join(differences[:SHOWN])}{more}; "
            "give the config that it was trained with, or drop the flags that change the model"
        )


def require_fitting(model: nn.Module, theirs: Mapping[str, Tensor]) -> None:
    """Insist that a checkpoint's weights can be loaded; tables set to `resize` take any number of rows.

    Args:
        model: The model to load them into.
        theirs: State dict of the checkpoint.

    Raises:
        CheckpointMismatch: Naming the numbers of tasks, or listing keys that differ.
    """
    ours = model.state_dict()
    taken = dict(theirs)
    for name, table in tables_of(model).items():
        key = f"{name}.rows"
        rows = taken.get(key, ours[key])
        if key in taken and table.fits(rows):
            taken[key] = ours[key]
        elif len(rows) != len(ours[key]) and rows.shape[1:] == ours[key].shape[1:]:
            raise CheckpointMismatch(
                f"the checkpoint has vectors for {len(rows)} tasks, the data have {len(table.rows)}: give "
                "the data's settings that it was trained with, or set resize of the encoder's task_table to "
                "true, to begin every task at their mean"
            )
    require_same_weights(ours, taken)

"""A carry as plain tensors for a checkpoint, and back into each rank's share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from recurlight.errors import CheckpointMismatch
from recurlight.types import Carry

__all__ = ["moved", "pack", "unpack"]

T = TypeVar("T")


def pack(tree: Any, convert: Callable[[Tensor], Tensor] = torch.clone) -> Any:
    """Turn a tree of named tuples into dictionaries, which load without running code.

    Args:
        tree: A tensor, or a named tuple of trees.
        convert: Applied to every tensor; it must copy, since a view would be saved with all that it views.

    Example:
        >>> from recurlight.refiners.single import SingleState
        >>> pack(SingleState(torch.zeros(1)))
        {'answer': tensor([0.])}
    """
    if isinstance(tree, Tensor):
        return convert(tree)
    return {name: pack(leaf, convert) for name, leaf in tree._asdict().items()}


def unpack(packed: Any, like: T, rank: int = 0, ranks: int = 1, name: str = "carry") -> T:
    """Rebuild what `pack` took apart, keeping one rank's contiguous share of the rows.

    Args:
        packed: Result of `pack`, its tensors `(ranks * B, ...)`.
        like: Tree of the same fields with `(B, ...)` tensors; gives types and device, not dtypes.
        rank: This process's number.
        ranks: Number of processes.
        name: What to call it in an error.

    Raises:
        CheckpointMismatch: Fields or shapes differ.
    """
    if isinstance(like, Tensor):
        wanted = (ranks * len(like), *like.shape[1:])
        if not isinstance(packed, Tensor) or packed.shape != wanted:
            found = tuple(packed.shape) if isinstance(packed, Tensor) else "no tensor"
            raise CheckpointMismatch(
                f"{name} is {found} in the checkpoint and {wanted} in this run: {_ADVICE}"
            )
        return packed[rank * len(like) :][: len(like)].to(like.device)  # type: ignore[return-value]
    fields: dict[str, Any] = like._asdict()  # type: ignore[attr-defined]
    if not isinstance(packed, dict) or packed.keys() != fields.keys():
        found = ", ".join(packed) if isinstance(packed, dict) else "a tensor"
        raise CheckpointMismatch(
            f"{name} holds {found} in the checkpoint and {', '.join(fields)} in this run: {_ADVICE}"
        )
    parts = (unpack(packed[key], leaf, rank, ranks, f"{name}.{key}") for key, leaf in fields.items())
    return type(like)(*parts)


def moved(packed: Any, fresh: Carry) -> bool:
    """Tell whether a packed carry is of samples of another length: a model that moved to other data."""
    tokens = packed.get("batch", {}).get("inputs") if isinstance(packed, dict) else None
    return isinstance(tokens, Tensor) and tokens.shape[1:] != fresh.batch.inputs.shape[1:]


_ADVICE = "resume with the model, data and batch size that it was written with"

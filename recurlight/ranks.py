"""What the ranks tell each other; no other module calls torch's collectives."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["gather", "gather_objects", "highest", "is_first", "rank", "total", "world_size"]

T = TypeVar("T")


def is_first() -> bool:
    """Return whether this is the first rank, the one that writes files."""
    return rank() == 0


def rank() -> int:
    """Return the number of this rank, 0 where nothing is distributed."""
    return 0 if world_size() == 1 else dist.get_rank()


def world_size() -> int:
    """Return the number of ranks, 1 where nothing is distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def total(values: Tensor) -> Tensor:
    """Sum a tensor over the ranks; every rank must call it.

    The process does not wait for an accelerator's result. Lightning's own reduction does, for it puts a
    barrier before.
    """
    if world_size() == 1:
        return values
    summed = values.clone()
    dist.all_reduce(summed)
    return summed


def highest(number: Tensor) -> Tensor:
    """Return the largest of the ranks' numbers, which may be written over; every rank must call it."""
    if world_size() > 1:
        dist.all_reduce(number, dist.ReduceOp.MAX)
    return number


def gather(rows: Tensor) -> Tensor:
    """Put the ranks' rows, equally many, one after the other; every rank must call it.

    Args:
        rows: `(B, ...)` on each rank.

    Returns:
        `(ranks * B, ...)` on every rank.
    """
    if world_size() == 1:
        return rows
    rows = rows.contiguous()
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(parts, rows)
    return torch.cat(parts)


def gather_objects(own: T) -> list[T]:
    """Return the objects of every rank, in the order of the ranks; every rank must call it.

    They are pickled, so this is for what is told now and then, not in every step.
    """
    if world_size() == 1:
        return [own]
    everyone: list[T] = [own] * world_size()
    dist.all_gather_object(everyone, own)
    return everyone

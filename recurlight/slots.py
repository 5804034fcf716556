"""Pure functions on trees of batch-first tensors: named tuples whose leaves are `(B, ...)`."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

__all__ = ["bucket", "choose", "detach", "pad", "scatter", "take"]

T = TypeVar("T")


def _like(mask: Tensor, leaf: Tensor) -> Tensor:
    """Reshape a `(B,)` mask so that it broadcasts over the other axes of a `(B, ...)` leaf."""
    return mask.reshape(-1, *[1] * (leaf.ndim - 1))


def choose(mask: Tensor, new: T, old: T) -> T:
    """Take rows from `new` where `mask`, from `old` elsewhere.

    Args:
        mask: `(B,)` bool.
        new: Tree of `(B, ...)` tensors.
        old: Tree of the same structure and shapes, cast to the dtypes of `new`.

    Example:
        >>> choose(torch.tensor([True, False]), torch.tensor([1, 2]), torch.tensor([3, 4]))
        tensor([1, 4])
    """
    chosen: T = tree_map(lambda a, b: torch.where(_like(mask, a), a, b.to(a.dtype)), new, old)
    return chosen


def detach(tree: T) -> T:
    """Cut every tensor of a tree from the graph."""
    cut: T = tree_map(lambda leaf: leaf.detach(), tree)
    return cut


def take(rows: Tensor, tree: T) -> T:
    """Gather rows by their index, `(R,)` int64."""
    taken: T = tree_map(lambda leaf: leaf[rows], tree)
    return taken


def bucket(rows: int) -> int:
    """Round a number of rows up to a power of two, so that compiled cells see few shapes.

    Example:
        >>> [bucket(rows) for rows in (1, 3, 4, 5)]
        [1, 4, 4, 8]
    """
    return 1 << (rows - 1).bit_length()


def pad(rows: Tensor, length: int) -> Tensor:
    """Repeat the first row index until there are `length`, so that a batch gets a size that was seen before.

    Example:
        >>> pad(torch.tensor([3, 5, 6]), 4)
        tensor([3, 5, 6, 3])
    """
    return torch.cat([rows, rows[:1].expand(length - len(rows))])


def scatter(rows: Tensor, values: T, into: T) -> T:
    """Return a copy of `into` whose given rows are replaced by `values`.

    Args:
        rows: `(R,)` int64; where an index repeats, its values must be equal.
        values: Tree of `(R, ...)` tensors.
        into: Tree of `(B, ...)` tensors.

    Example:
        >>> scatter(torch.tensor([2]), torch.tensor([9]), torch.tensor([5, 6, 7]))
        tensor([5, 6, 9])
    """
    put: T = tree_map(lambda value, leaf: leaf.index_copy(0, rows, value), values, into)
    return put

"""Pure functions on trees of batch-first tensors, named tuples whose leaves are `(B, ...)`, and their form.

The form is types, shapes, dtypes and devices, which cost nothing to ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from recurlight.errors import IncompatibleComponents
from recurlight.types import Batch, Carry, Sizes

__all__ = [
    "bucket",
    "choose",
    "detach",
    "leaves",
    "pad",
    "repeat",
    "require_batch",
    "require_carry",
    "require_cells",
    "require_indices",
    "require_rows",
    "scatter",
    "take",
]

T = TypeVar("T")


def _like(mask: Tensor, leaf: Tensor) -> Tensor:
    """Reshape a `(B,)` mask so that it broadcasts over the other axes of a `(B, ...)` leaf."""
    return mask.reshape(-1, *[1] * (leaf.ndim - 1))


def _mapped(change: Callable[..., Tensor], *trees: T) -> T:
    """Apply a function to the tensors of trees; what is None stays."""
    return tree_map(lambda leaf, *others: None if leaf is None else change(leaf, *others), *trees)  # type: ignore[no-any-return]


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
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.ndim != 1:
        found = f"{tuple(mask.shape)} {mask.dtype}" if isinstance(mask, Tensor) else type(mask).__name__
        raise IncompatibleComponents(f"choose got the mask {found}: give a bool for each row, (B,)")
    chosen: T = _mapped(lambda a, b: torch.where(_like(mask, a), a, b.to(a.dtype)), new, old)
    return chosen


def detach(tree: T) -> T:
    """Cut every tensor of a tree from the graph."""
    cut: T = _mapped(lambda leaf: leaf.detach(), tree)
    return cut


def leaves(tree: Any) -> list[Tensor]:
    """Return the tensors of a tree, in order."""
    return [leaf for leaf in tree_leaves(tree) if leaf is not None]


def take(rows: Tensor, tree: T) -> T:
    """Gather rows by their index, `(R,)` int64."""
    taken: T = _mapped(lambda leaf: leaf[rows], tree)
    return taken


def repeat(tree: T, times: int) -> T:
    """Repeat every row, the copies of one next to one another.

    Example:
        >>> repeat(torch.tensor([1, 2]), 2)
        tensor([1, 1, 2, 2])
    """
    repeated: T = _mapped(lambda leaf: leaf.repeat_interleave(times, dim=0), tree)
    return repeated


def bucket(rows: int) -> int:
    """Round a number of rows up to a power of two, so that compiled cells see few shapes.

    It is 2 at least, since a compiled cell has a graph of its own for an axis of length 1.

    Example:
        >>> [bucket(rows) for rows in (1, 3, 4, 5)]
        [2, 4, 4, 8]
    """
    return max(2, 1 << (rows - 1).bit_length())


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
    put: T = _mapped(lambda value, leaf: leaf.index_copy(0, rows, value), values, into)
    return put


def require_batch(batch: Any, sizes: Sizes, model: nn.Module) -> None:
    """Require a `Batch` that the model can take; what the tokens or numbers are is not looked at.

    Args:
        batch: What was given.
        sizes: Sizes of the model.
        model: Whose device it must be on.

    Raises:
        IncompatibleComponents: With the field and what to give.
    """
    if not isinstance(batch, Batch):
        raise IncompatibleComponents(
            f"the batch is a {type(batch).__name__}: give a recurlight.Batch(inputs, labels, task)"
        )
    # not `len`, which would fix the number of rows in an exported program
    rows = batch.inputs.shape[0] if isinstance(batch.inputs, Tensor) and batch.inputs.ndim else 0
    for name, setting, numbers in (
        ("inputs", "features", sizes.features),
        ("labels", "targets", sizes.targets),
    ):
        found = getattr(batch, name)
        other = isinstance(found, Tensor) and found.is_floating_point() != bool(numbers)
        if other and found.ndim == (2 if numbers else 3):
            raise IncompatibleComponents(
                f"batch.{name} is {tuple(found.shape)} {found.dtype} and the model has {setting}={numbers}: "
                f"pass the data module's {setting} to the model, 0 for tokens (B, L)"
            )
        require_cells(f"batch.{name}", found, (rows, -1), numbers)
    require_indices("batch.task", batch.task, (rows,))
    if not rows:
        raise IncompatibleComponents("the batch has no rows: give one sample or more")
    if batch.labels.shape[:2] != batch.inputs.shape[:2]:
        raise IncompatibleComponents(
            f"batch.labels is {tuple(batch.labels.shape)} and batch.inputs {tuple(batch.inputs.shape)}: "
            "give a label for each token, IGNORE (of numbers NaN) where there is none"
        )
    if batch.inputs.shape[1] != sizes.tokens:
        raise IncompatibleComponents(
            f"the data has {batch.inputs.shape[1]} tokens, the model has seq_len={sizes.tokens}: "
            "pass the data module's seq_len and vocab_size to the model"
        )
    home = next((weight.device for weight in model.parameters()), batch.inputs.device)
    for name, field in batch._asdict().items():
        if field.device != home:
            raise IncompatibleComponents(
                f"batch.{name} is on {field.device}, the model on {home}: move it, batch.{name}.to('{home}')"
            )


def require_indices(name: str, found: Any, shape: tuple[int, ...]) -> None:
    """Require int64 of some shape, where -1 stands for any size.

    Raises:
        IncompatibleComponents: With the name and what to give.
    """
    wanted = f"({', '.join('B' if place == 0 else 'L' for place in range(len(shape)))}) int64"
    if not isinstance(found, Tensor):
        raise IncompatibleComponents(f"{name} is a {type(found).__name__}: give a tensor {wanted}")
    fits = found.ndim == len(shape) and all(w in (-1, n) for w, n in zip(shape, found.shape, strict=True))
    if found.dtype != torch.int64 or not fits:
        raise IncompatibleComponents(f"{name} is {tuple(found.shape)} {found.dtype}: give {wanted}")


def require_cells(name: str, found: Any, shape: tuple[int, int], numbers: int) -> None:
    """Require tokens, or so many float32 or float64 numbers at each position.

    Args:
        name: What to call them.
        found: What was given.
        shape: Rows and positions, where -1 stands for any size.
        numbers: Numbers at each position; 0 for tokens, `(B, L)` int64.

    Raises:
        IncompatibleComponents: With the name and what to give.
    """
    if not numbers:
        require_indices(name, found, shape)
        return
    wanted = f"(B, L, {numbers}) float32"
    if not isinstance(found, Tensor):
        raise IncompatibleComponents(f"{name} is a {type(found).__name__}: give a tensor {wanted}")
    fits = found.ndim == 3 and all(w in (-1, n) for w, n in zip((*shape, numbers), found.shape, strict=True))
    if found.dtype not in (torch.float32, torch.float64) or not fits:
        raise IncompatibleComponents(f"{name} is {tuple(found.shape)} {found.dtype}: give {wanted}")


def require_carry(carry: Any, fresh: Batch) -> None:
    """Require a `Carry` with a slot for each fresh sample.

    Raises:
        IncompatibleComponents: With what to give.
    """
    if not isinstance(carry, Carry):
        raise IncompatibleComponents(
            f"the carry is a {type(carry).__name__}: give what Recursion.start or segment returned"
        )
    if carry.batch.inputs.shape != fresh.inputs.shape:
        raise IncompatibleComponents(
            f"the carry has slots {tuple(carry.batch.inputs.shape)}, the fresh batch is "
            f"{tuple(fresh.inputs.shape)}: give one fresh sample for each slot, or start anew"
        )


def require_rows(name: str, found: Any, rows: int, dtype: torch.dtype | None = None) -> None:
    """Require a tensor with so many rows, of a dtype if one is given.

    Raises:
        IncompatibleComponents: With the name and what to give.
    """
    wanted = "a tensor" if dtype is None else f"a {dtype} tensor"
    if not isinstance(found, Tensor):
        raise IncompatibleComponents(f"{name} is a {type(found).__name__}: give {wanted} of {rows} rows")
    if found.shape[:1] != (rows,) or (dtype is not None and found.dtype != dtype):
        raise IncompatibleComponents(
            f"{name} is {tuple(found.shape)} {found.dtype}: give {wanted} of {rows} rows"
        )

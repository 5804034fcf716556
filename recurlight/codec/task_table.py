"""A table of vectors of which every step reads and changes a few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.slots import require_indices
from recurlight.spec import Recorded
from recurlight.spec.given import checked, within

__all__ = ["SparseTable", "forget_tasks", "forgetful_tables", "tables_of", "tasks_at_mean"]


class _Store:
    """Where the rows are; deep copies of a table share it."""

    def __init__(self, rows: Tensor | None = None) -> None:
        self.rows = torch.empty(0, 0) if rows is None else rows


class SparseTable(Recorded, nn.Module):
    """Trained vectors, zero at first, whose gradient exists for the rows in use alone.

    For a million task identities, of which a batch holds some hundred: a parameter of that size would have
    a dense gradient, two moments and an average, each as large as itself. The rows are therefore no parameter
    and no buffer: averaging of weights and `DistributedDataParallel` do not see them. They are part of the
    state dict, move with the model, and are trained by sign descent through `recurlight.codec.add_tables`,
    which `RecursiveModule` calls. For few rows a parameter is simpler, and the default of `TokenEncoder`.

    Deep copies of a model, such as the one that `EMAWeightAveraging` keeps, share the rows of the original,
    until other rows are loaded into them.

    Args:
        lr: Learning rate of the rows; a schedule of the optimizer scales it like all others.
        weight_decay: Decoupled weight decay of the rows in use, in units of the learning rate.
        resize: Load a table of another number of rows by setting every row to the mean of its rows, as a
            start on other tasks; otherwise such a checkpoint is refused.

    Raises:
        IncompatibleComponents: An argument is out of range.

    Example:
        >>> table = SparseTable()
        >>> table.allocate(rows=900_000, width=16)
        >>> table(torch.tensor([7, 7, 899_999])).shape
        torch.Size([3, 16])

    Reference:
        The puzzle embedding of HRM (arXiv:2506.21734) and TRM (arXiv:2510.04871).
    """

    def __init__(self, lr: float = 1e-2, weight_decay: float = 0.1, resize: bool = False) -> None:
        super().__init__()
        if lr < 0 or weight_decay < 0:
            raise IncompatibleComponents(
                f"SparseTable got lr={lr}, weight_decay={weight_decay}: give 0 or more, as 1e-2 and 0.1"
            )
        self.lr, self.weight_decay, self.resize = lr, weight_decay, resize
        self.store, self.owner = _Store(), True
        self.received: list[tuple[Tensor, Tensor]] = []

    @property
    def rows(self) -> Tensor:
        """The vectors, `(rows, width)`, float32 at first; empty until `allocate`."""
        return self.store.rows

    @checked
    def allocate(self, rows: int, width: int) -> None:
        """Make the vectors; memory is taken when a row is first written to.

        Raises:
            IncompatibleComponents: A number is below 1.
        """
        within("SparseTable.allocate", "rows", rows, 1)
        within("SparseTable.allocate", "width", width, 1)
        self.store.rows = torch.from_numpy(np.zeros((rows, width), dtype=np.float32))

    def forward(self, index: Tensor) -> Tensor:
        """Look up rows `(B,)` int64 as `(B, width)`; with gradient where it is enabled.

        Raises:
            IncompatibleComponents: The index has another form, or nothing was allocated.
        """
        if not self.rows.numel():
            raise IncompatibleComponents(
                "SparseTable has no rows: compose it in a Recursion, or call allocate"
            )
        require_indices("index", index, (-1,))
        found = self.rows[index]
        if torch.is_grad_enabled():
            receive = partial(self._receive, index)
            found.requires_grad_().register_hook(receive)  # type: ignore[no-untyped-call,unused-ignore]
        return found

    def _receive(self, index: Tensor, grad: Tensor) -> None:
        self.received.append((index, grad))

    def take(self) -> tuple[Tensor, Tensor] | None:
        """Return rows `(n,)` and gradients `(n, width)` since the last call, None if there are none."""
        received, self.received = self.received, []
        if not received:
            return None
        index, grads = zip(*received, strict=True)
        return torch.cat(index), torch.cat(grads)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SparseTable:
        """Move or convert the rows with the rest of the model; a copy leaves those of its original alone."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call,unused-ignore]
        if self.owner:
            self.store.rows = fn(self.rows)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SparseTable:
        twin = SparseTable(self.lr, self.weight_decay, self.resize).train(self.training)
        twin.store, twin.owner = self.store, False
        memo[id(self)] = twin
        return twin

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[no-untyped-call,unused-ignore]
        if self.rows.numel():
            destination[f"{prefix}rows"] = self.rows

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        key = f"{prefix}rows"
        if key not in state_dict:
            missing_keys += [key] * bool(self.rows.numel())
        elif not self.fits(state_dict[key]):
            error_msgs.append(f"{key} is {tuple(state_dict[key].shape)}, not {tuple(self.rows.shape)}")
        else:
            self._load(state_dict[key])

    def _load(self, theirs: Tensor) -> None:
        """Take rows over; a copy that is given others than its original's has rows of its own from now on."""
        new = theirs if theirs.shape == self.rows.shape else _at_mean(theirs, self.rows)
        if not self.owner:
            if torch.equal(new.to(self.rows), self.rows):
                return
            self.store, self.owner = _Store(self.rows.clone()), True
        self.rows.copy_(new)

    def fits(self, theirs: Tensor) -> bool:
        """Return whether rows from elsewhere can be loaded."""
        ours = self.rows.shape
        return theirs.shape == ours or (self.resize and theirs.ndim == 2 and theirs.shape[1] == ours[1])


def tables_of(model: nn.Module) -> dict[str, SparseTable]:
    """Return the tables of a model that have rows, by name."""
    parts = model.named_modules()
    return {name: part for name, part in parts if isinstance(part, SparseTable) and part.rows.numel()}


def forgetful_tables(model: nn.Module) -> list[SparseTable]:
    """Return the tables that may begin other tasks at the mean of those they know, see `resize`."""
    return [table for table in tables_of(model).values() if table.resize]


@torch.no_grad()
def forget_tasks(model: nn.Module) -> None:
    """Set every task's vector to the mean of all, where the tables allow it."""
    for table in forgetful_tables(model):
        table.rows.copy_(_at_mean(table.rows, table.rows))


@contextmanager
def tasks_at_mean(model: nn.Module) -> Iterator[None]:
    """Let every task have the mean of all vectors where the tables allow it, and give the vectors back."""
    kept = [(table.store, table.rows) for table in forgetful_tables(model)]
    try:
        for store, rows in kept:
            store.rows = _at_mean(rows, rows)
        yield
    finally:
        for store, rows in kept:
            store.rows = rows


def _at_mean(known: Tensor, like: Tensor) -> Tensor:
    """Return the mean of known rows for every row of a table; it takes the memory of one row."""
    return known.mean(dim=0).expand_as(like)

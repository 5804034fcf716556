"""Sign descent on the rows in use of a large table, beside any optimizer."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from recurlight.codec.task_table import SparseTable, tables_of
from recurlight.ranks import gather

__all__ = ["add_tables", "forget_gradients", "sparse_sign_sgd_"]


@torch.no_grad()
def sparse_sign_sgd_(table: Tensor, index: Tensor, grads: Tensor, *, lr: float, weight_decay: float) -> None:
    """Apply one update in place to the rows in use.

    `row = (1 - lr weight_decay) row - lr sign(sum of its gradients)`, once for each row of `index`

    Adam with gradients that come rarely moves about as far. Nothing here depends on the data in size, so that
    the device need not be waited for.

    Args:
        table: `(rows, width)`.
        index: Rows in use, `(n,)` int64; they may repeat.
        grads: Their gradients, `(n, width)`.
        lr: Learning rate.
        weight_decay: Decoupled decay, in units of the learning rate.

    Example:
        >>> table = torch.zeros(4, 2)
        >>> grads = torch.tensor([[1.0, 1.0], [-2.0, 1.0], [0.5, 0.0]])
        >>> sparse_sign_sgd_(table, torch.tensor([3, 3, 0]), grads, lr=0.1, weight_decay=0.0)
        >>> table[[0, 3]]
        tensor([[-0.1000,  0.0000],
                [ 0.1000, -0.1000]])
    """
    ordered, order = index.sort(stable=True)
    first = torch.ones_like(ordered)
    first[1:] = ordered[1:] != ordered[:-1]
    group = torch.empty_like(index)
    group[order] = first.cumsum(0) - 1  # numbers the different rows
    total = torch.zeros_like(grads)
    if grads.is_cuda:  # each kind in the variant that adds in a fixed order: ranks must not drift apart
        total.index_put_((group,), grads, accumulate=True)
    else:
        total.index_add_(0, group, grads)
    moved = table[index] * (1 - lr * weight_decay) - lr * total[group].sign().to(table.dtype)
    table[index] = moved  # rows that repeat are written more than once, with equal values


def add_tables(optimizer: Optimizer, model: nn.Module) -> Optimizer:
    """Let an optimizer also train the model's tables, each in a parameter group with its own learning rate.

    The group has no parameters; it is there for schedules and checkpoints. The rows are updated after the
    optimizer's own step. Under distributed training, rows and gradients are exchanged between the ranks, so
    that all of them take the step of one process with the whole batch.

    Args:
        optimizer: Of the model's parameters.
        model: Whose `SparseTable` parts are trained.

    Returns:
        The same optimizer.
    """
    tables = tables_of(model)
    for name, table in tables.items():
        settings = {"lr": table.lr, "weight_decay": table.weight_decay, "table": name}
        optimizer.add_param_group({"params": [], **settings})
    if tables:
        optimizer.register_step_post_hook(partial(_step, tables))
    return optimizer


def forget_gradients(model: nn.Module) -> None:
    """Drop what the model's tables have received, for steps that are skipped."""
    for table in tables_of(model).values():
        table.take()


def _step(tables: dict[str, SparseTable], optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    for group in optimizer.param_groups:
        table = tables.get(group.get("table", ""))
        taken = None if table is None else table.take()
        if table is not None and taken is not None:
            index, grads = (gather(part) for part in taken)  # as one process would have them
            sparse_sign_sgd_(table.rows, index, grads, lr=group["lr"], weight_decay=group["weight_decay"])

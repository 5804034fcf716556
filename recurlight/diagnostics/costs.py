"""What one training step costs: updates, arithmetic, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["StepCosts", "step_costs"]


class StepCosts(NamedTuple):
    """What one step took.

    Attributes:
        updates: Applications of a cell in the forward pass.
        with_gradient: How many of them gradient flows through.
        flops: Floating-point operations of matrix products, attention and convolutions, forward and backward;
            a multiplication and an addition count as two.
        saved: Bytes that are kept for the backward pass, the weights aside.
        loss: The loss.
    """

    updates: int
    with_gradient: int
    flops: int
    saved: int
    loss: float


def step_costs(model: nn.Module, cells: list[nn.Module], step: Callable[[], Tensor]) -> StepCosts:
    """Run one step, forward and backward, and count what it takes; gradients are dropped.

    Args:
        model: Whose weights are left out of the memory.
        cells: The networks whose applications are counted.
        step: Runs the forward pass and returns the loss, 0-d.

    Example:
        >>> cell = nn.Linear(3, 3, bias=False)
        >>> state = torch.ones(2, 3)
        >>> costs = step_costs(cell, [cell], lambda: cell(cell(state)).sum())
        >>> costs.updates, costs.with_gradient, costs.flops // (2 * 2 * 3 * 3)
        (2, 2, 5)
    """
    with _applications(cells) as applied, _recorded(model) as saved, FlopCounterMode(display=False) as flops:
        loss = step()
        loss.backward()  # type: ignore[no-untyped-call]
    model.zero_grad(set_to_none=True)
    return StepCosts(len(applied), sum(applied), flops.get_total_flops(), sum(saved.values()), loss.item())


@contextmanager
def _applications(cells: list[nn.Module]) -> Iterator[list[bool]]:
    """Collect for each application of a cell whether gradient is recorded."""
    seen: list[bool] = []

    def note(*_: Any) -> None:
        seen.append(torch.is_grad_enabled())

    handles = [cell.register_forward_hook(note) for cell in cells]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _recorded(model: nn.Module) -> Iterator[dict[int, int]]:
    """Collect the bytes of every storage that autograd keeps, by its address."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    sizes: dict[int, int] = {}
    alive: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            alive.append(tensor)  # or its address would be given to another
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield sizes

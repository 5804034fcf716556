from __future__ import annotations

import pytest
import torch
from torch import nn

from recurlight.diagnostics.costs import step_costs


def chain(cell, state, depth, with_gradient):
    with torch.no_grad():
        for _ in range(depth - with_gradient):
            state = cell(state)
    for _ in range(with_gradient):
        state = cell(state)
    return state.sum()


@pytest.mark.parametrize(("depth", "with_gradient"), [(1, 1), (5, 5), (6, 2)])
def test_updates_arithmetic_and_memory_of_a_chain(depth, with_gradient):
    rows, width = 7, 5
    cell = nn.Sequential(nn.Linear(width, width, bias=False), nn.Sigmoid())
    state = torch.ones(rows, width)
    costs = step_costs(cell, [cell], lambda: chain(cell, state, depth, with_gradient))
    assert (costs.updates, costs.with_gradient) == (depth, with_gradient)
    product = 2 * rows * width * width
    # Backward there is one for the weight and, but for the first update, one for the state.
    assert costs.flops == product * (depth + 2 * with_gradient - 1)
    # Kept are the input of each product and the output of each sigmoid, which is the next one's input.
    assert costs.saved == 4 * rows * width * (with_gradient + 1)


def test_gradients_are_dropped_and_weights_stay():
    cell = nn.Linear(3, 3)
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    costs = step_costs(cell, [cell], lambda: cell(torch.ones(2, 3)).square().mean())
    assert costs.loss == pytest.approx(cell(torch.ones(2, 3)).square().mean().item())
    assert all(weight.grad is None for weight in cell.parameters())
    assert all((before[name] == value).all() for name, value in cell.state_dict().items())
    assert not cell._forward_hooks

"""What autograd saves for the backward pass, to the byte: memory that is said to be constant is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recurlight.truncation import (
    EveryUpdate,
    GradientTruncation,
    ImplicitGradient,
    LastCycles,
    NeumannGradient,
    PhantomGradient,
)

from .helpers import gradients, question, two_level

FEW, MANY = 8, 64


def saved(policy: GradientTruncation, cycles: int) -> int:
    """Count the bytes saved in forward and backward pass, each storage once, without those of the weights."""
    refiner, injection = two_level(), question(rows=4).requires_grad_()
    weights = {weight.untyped_storage().data_ptr() for weight in refiner.parameters()}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        end = policy.run(refiner, refiner.initial_state(injection.detach()), injection, cycles)
        gradients(refiner, end.answer, injection)
    return sum(found.values())


@pytest.mark.parametrize(
    "policy",
    [ImplicitGradient(), NeumannGradient(0), NeumannGradient(5), LastCycles(1), PhantomGradient(5)],
    ids=lambda policy: type(policy).__name__,
)
def test_memory_is_constant_in_the_number_of_cycles(policy):
    few = saved(policy, FEW)
    assert few > 0
    assert abs(saved(policy, MANY) - few) < 0.05 * few


def test_memory_of_every_update_grows_with_the_number_of_cycles():
    """Shows that what is counted is what grows."""
    few, many = (saved(EveryUpdate(), cycles) for cycles in (FEW, MANY))
    assert many / few == pytest.approx(MANY / FEW, rel=0.05)


def test_memory_does_not_grow_with_the_products_of_the_backward_pass():
    """Fails if a product is recorded, or what it saved is kept."""
    one = saved(NeumannGradient(1), FEW)
    assert saved(NeumannGradient(40), FEW) == one
    assert saved(ImplicitGradient(backward_steps=40), FEW) == one

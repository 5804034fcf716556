"""What every exported policy must do."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest
import torch

from recurlight import truncation
from recurlight.truncation import (
    EveryUpdate,
    GradientTruncation,
    ImplicitGradient,
    LastCycles,
    LastPerLevel,
    LastUpdates,
    NeumannGradient,
    PhantomGradient,
)

from .helpers import gradients, question, single, two_level

CYCLES = 6
POLICIES: dict[type[GradientTruncation], GradientTruncation] = {
    EveryUpdate: EveryUpdate(),
    ImplicitGradient: ImplicitGradient(),
    LastCycles: LastCycles(),
    LastPerLevel: LastPerLevel({"answer": 2, "latent": 3}),
    LastUpdates: LastUpdates(),
    NeumannGradient: NeumannGradient(steps=3, damping=0.5),
    PhantomGradient: PhantomGradient(steps=2),
}
REFINERS = {
    "two": lambda dtype: two_level(dtype),
    "shared": lambda dtype: two_level(dtype, shared=True),
    "single": lambda dtype: single(dtype),
}


def fitting(policy, refiner):
    """Leave out the budgets of levels that the refiner does not have."""
    if isinstance(policy, LastPerLevel):
        return LastPerLevel({k: v for k, v in policy.counts.items() if k in refiner.schedule()})
    return policy


@pytest.fixture(params=POLICIES.values(), ids=repr)
def policy(request):
    return request.param


@pytest.fixture(params=REFINERS)
def build(request):
    return REFINERS[request.param]


def test_every_exported_policy_is_tested():
    exported = (getattr(truncation, name) for name in truncation.__all__)
    concrete = {
        kind
        for kind in exported
        if isinstance(kind, type) and issubclass(kind, GradientTruncation) and not inspect.isabstract(kind)
    }
    assert concrete == set(POLICIES)


def test_never_enables_gradient(policy, build):
    refiner, injection = build(torch.float64), question().requires_grad_()
    start = refiner.initial_state(injection)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            end = fitting(policy, refiner).run(refiner, start, injection, CYCLES)
            assert not torch.is_grad_enabled()
        assert not any(leaf.requires_grad for leaf in end)
    assert torch.is_grad_enabled()


def test_every_weight_gets_gradient(policy, build):
    refiner, injection = build(torch.float64), question().requires_grad_()
    chosen = fitting(policy, refiner)
    chosen.check(refiner, CYCLES)
    end = chosen.run(refiner, refiner.initial_state(injection.detach()), injection, CYCLES)
    assert all(gradient.abs().sum() > 0 for gradient in gradients(refiner, end.answer, injection))


def test_value_does_not_depend_on_the_gradient_mode(policy, build):
    refiner, injection = build(torch.float64), question().requires_grad_()
    chosen, start = fitting(policy, refiner), refiner.initial_state(injection.detach())
    recorded = chosen.run(refiner, start, injection, CYCLES)
    with torch.no_grad():
        plain = chosen.run(refiner, start, injection, CYCLES)
    assert all(torch.equal(a, b) for a, b in zip(recorded, plain, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_state_keeps_type_shapes_and_dtypes(policy, build, dtype):
    refiner, injection = build(dtype), question(dtype)
    start = refiner.initial_state(injection)
    end = fitting(policy, refiner).run(refiner, start, injection, CYCLES)
    assert type(end) is type(start)
    assert [(leaf.shape, leaf.dtype) for leaf in end] == [(leaf.shape, leaf.dtype) for leaf in start]


def test_rows_are_independent(policy, build):
    refiner, injection = build(torch.float64), question(rows=4)
    chosen, start = fitting(policy, refiner), refiner.initial_state(injection)
    whole = chosen.run(refiner, start, injection, CYCLES).answer
    half = chosen.run(refiner, type(start)(*(leaf[1:3] for leaf in start)), injection[1:3], CYCLES).answer
    torch.testing.assert_close(whole[1:3], half, rtol=1e-12, atol=1e-12)


def test_at_most_the_given_number_of_cycles_is_evaluated(policy):
    refiner, injection = single(), question()
    calls = []
    refiner.cell.register_forward_hook(lambda *_: calls.append(1))
    fitting(policy, refiner).run(refiner, refiner.initial_state(injection), injection, CYCLES)
    assert len(calls) == CYCLES


def test_policy_survives_copy_and_pickle(policy):
    assert copy.deepcopy(policy) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(copy.deepcopy(policy)) == hash(policy)


def test_repr_can_be_typed_back(policy):
    names = {name: getattr(truncation, name) for name in truncation.__all__}
    assert eval(repr(policy), names) == policy

"""What every exported refiner must do."""

from __future__ import annotations

import inspect

import pytest
import torch
from helpers import SIZES, attention, bound, mixer, seeded

from recurlight import refiners
from recurlight.errors import IncompatibleComponents
from recurlight.refiners import (
    AddedInjection,
    DampedRefiner,
    DecayInjection,
    InjectedRefiner,
    Injection,
    ProjectedInjection,
    QuestionStartRefiner,
    Refiner,
    SingleRefiner,
    TwoLevelRefiner,
)
from recurlight.testing import check_refiner

REFINERS = {
    "single": lambda: SingleRefiner(attention()),
    "two_shared": lambda: TwoLevelRefiner(mixer(), latent_steps=2),
    "two_cells": lambda: TwoLevelRefiner(mixer(), attention(), latent_steps=2),
    "question_start": lambda: QuestionStartRefiner(mixer(), attention(), latent_steps=2),
    "added": lambda: InjectedRefiner(mixer(), AddedInjection()),
    "projected_noise": lambda: InjectedRefiner(mixer(), ProjectedInjection(), sigma=0.6),
    "decay": lambda: InjectedRefiner(attention(), DecayInjection()),
    "damped": lambda: DampedRefiner(TwoLevelRefiner(mixer(), latent_steps=2), damping=0.5),
}
OTHER_STARTS = {"question_start", "projected_noise"}  # than fixed vectors


def question(rows=4, dtype=torch.float32, seed=3):
    return torch.randn(rows, SIZES.positions, SIZES.width, generator=seeded(seed)).to(dtype)


def state_like(refiner, injection):
    """A state in the middle of its work: no two rows, positions or fields are equal."""
    start = refiner.initial_state(injection)
    noise = (question(len(injection), injection.dtype, seed=10 + index) for index in range(len(start)))
    return type(start)(*(leaf + extra for leaf, extra in zip(start, noise, strict=True)))


@pytest.fixture(params=REFINERS)
def refiner(request):
    return bound(REFINERS[request.param]())


def test_every_exported_refiner_is_tested():
    exported = (getattr(refiners, name) for name in refiners.__all__)
    concrete = {kind for kind in exported if issubclass(kind, Refiner) and not inspect.isabstract(kind)}
    made = [build() for build in REFINERS.values()]
    assert concrete == {type(one) for one in made}
    injections = {
        kind for kind in map(refiners.__dict__.get, refiners.__all__) if issubclass(kind, Injection)
    }
    assert injections - {Injection} == {type(one.inject) for one in made if isinstance(one, InjectedRefiner)}


def test_an_update_writes_its_level_and_nothing_else(refiner):
    injection = question()
    before = state_like(refiner, injection)
    for level in set(refiner.schedule()):
        after = refiner.update(before, injection, level)
        for field in before._fields:
            old, new = getattr(before, field), getattr(after, field)
            if field == level:
                assert (new - old).abs().max() > 1e-3
            else:
                assert new is old


def test_an_update_uses_the_cell_of_its_level(refiner):
    injection, calls = question(), []
    state = state_like(refiner, injection)
    for cell in set(refiner.cells().values()):
        cell.register_forward_hook(lambda module, *_: calls.append(module))
    for level in refiner.schedule():
        refiner.update(state, injection, level)
    assert calls == [refiner.cells()[level] for level in refiner.schedule()]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_shapes_and_dtypes_are_kept(refiner, dtype):
    refiner, injection = refiner.to(dtype), question(dtype=dtype)
    state = refiner.initial_state(injection)
    for level in set(refiner.schedule()):
        after = refiner.update(state, injection, level)
        assert type(after) is type(state)
        assert all((leaf.shape, leaf.dtype) == (injection.shape, dtype) for leaf in after)


def test_under_autocast_the_state_stays_in_bfloat16(refiner):
    injection = question(dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        state = refiner.cycle(refiner.initial_state(injection), injection)
    assert {leaf.dtype for leaf in state} == {torch.bfloat16}


def test_rows_are_independent(refiner):
    refiner, injection = refiner.double(), question(dtype=torch.float64)
    state = state_like(refiner, injection)
    whole = refiner.cycle(state, injection)
    part = refiner.cycle(type(state)(*(leaf[1:3] for leaf in state)), injection[1:3])
    for a, b in zip(whole, part, strict=True):
        torch.testing.assert_close(a[1:3], b, rtol=0, atol=1e-12)


def test_levels_are_fields_with_cells(refiner):
    fields = refiner.initial_state(question())._fields
    assert set(refiner.schedule()) == set(refiner.cells()) <= set(fields)
    assert "answer" in fields
    assert refiner.schedule()[-1] == "answer"  # else the last updates of a segment would be lost to it


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_initial_state_follows_the_injection(refiner, dtype):
    injection = question(dtype=dtype)
    state = refiner.initial_state(injection)
    assert all((leaf.shape, leaf.dtype) == (injection.shape, dtype) for leaf in state)
    assert len({leaf.sum().item() for leaf in state}) == len(state)  # another start for each level


@pytest.mark.parametrize("name", sorted(REFINERS.keys() - OTHER_STARTS))
def test_rows_and_positions_start_at_one_vector(name):
    for leaf in bound(REFINERS[name]()).initial_state(question()):
        assert torch.equal(leaf, leaf[:1, :1].expand_as(leaf))


@pytest.mark.parametrize("name", REFINERS)
def test_the_start_is_kept_in_checkpoints_but_not_trained(name):
    first, second = (bound(REFINERS[name](), seed=seed) for seed in range(2))
    second.load_state_dict(first.state_dict())
    states = []
    for refiner in (first, second):
        torch.manual_seed(0)  # of starts that are drawn
        states.append(refiner.initial_state(question()))
    assert not any(leaf.requires_grad for leaf in states[0])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


@pytest.mark.parametrize("name", ["projected_noise", "decay"])
def test_the_checks_for_refiners_of_ones_own_pass(name):
    """Draws belong to slots, gradients reach all weights and survive bfloat16, runs resume."""
    check_refiner(REFINERS[name], exclude={"compile": "cells are compiled, and these are tested elsewhere"})


def test_every_weight_is_saved_once(refiner):
    pointers = [value.data_ptr() for value in refiner.state_dict().values()]
    assert len(set(pointers)) == len(pointers)


def test_a_cycle_is_the_schedule_in_order(refiner):
    injection = question()
    start = state_like(refiner, injection)
    state = start
    for level in refiner.schedule():
        state = refiner.update(state, injection, level)
    assert all(torch.equal(a, b) for a, b in zip(state, refiner.cycle(start, injection), strict=True))


def test_what_may_be_adjusted_is_a_count_that_the_schedule_reads(refiner):
    """Fails if a refiner that wraps another hides its counts."""
    counts = refiner.adjusted()
    for name in counts.adjustable:
        before = len(refiner.schedule())
        setattr(counts, name, getattr(counts, name) + 1)
        assert len(refiner.schedule()) > before
    assert (counts.adjustable == ("latent_steps",)) is ("latent" in refiner.cells())


def test_latent_steps_below_one_are_refused():
    with pytest.raises(IncompatibleComponents, match="latent_steps of at least 1, not 0: raise it, or"):
        TwoLevelRefiner(mixer(), latent_steps=0)

"""Halting in the driver, for any cap, exploration and opinions."""

from __future__ import annotations

from itertools import pairwise

import torch
from helpers import batch, opinionated, trm
from hypothesis import given, settings
from hypothesis import strategies as st

ROWS, STEPS = 6, 12
CASES = {
    "segments": st.integers(1, 5),
    "exploration": st.floats(0, 1),
    "seed": st.integers(0, 2**63 - 1),
    "spread": st.floats(0, 3),
}


def model(segments: int, exploration: float, seed: int, spread: float):
    made = trm(max_segments=segments, exploration=exploration)
    made.seed = seed
    return opinionated(made, spread).double()


def ages(made, steps: int = STEPS) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Age and halted flag of every slot after each step of a run."""
    found, carry = [], made.start(batch(ROWS))
    with torch.no_grad():
        for step in range(steps):
            carry, _, score = made.segment(carry, batch(ROWS, seed=step), cycles=1)
            carry = made.halt(carry, score, step)
            found.append((carry.age, carry.halted))
    return found


@given(**CASES)
@settings(max_examples=15)
def test_every_sample_gets_from_one_to_all_segments(segments, exploration, seed, spread):
    """Fails if the cap is `>` and not `>=`, or if the age of a refilled slot is not reset."""
    for age, halted in ages(model(segments, exploration, seed, spread)):
        assert age.min() >= 1
        assert age.max() <= segments
        assert halted[age == segments].all()


@given(segments=CASES["segments"], spread=CASES["spread"], seeds=st.tuples(CASES["seed"], CASES["seed"]))
@settings(max_examples=10)
def test_without_exploration_nothing_is_drawn(segments, spread, seeds):
    """Fails if a minimum age is drawn with any probability when `exploration` is 0."""
    one, other = (ages(model(segments, 0.0, seed, spread)) for seed in seeds)
    for (age, halted), (other_age, other_halted) in zip(one, other, strict=True):
        assert torch.equal(age, other_age)
        assert torch.equal(halted, other_halted)


@given(segments=st.integers(1, 6), spread=st.floats(0, 3), rows=st.integers(1, 9))
@settings(max_examples=15)
def test_a_row_that_stopped_stays_as_it_is(segments, spread, rows):
    """Fails if a padded row is written back over one that stopped, or if a row resumes."""
    trail = list(model(segments, 0.0, 0, spread).unroll(batch(rows), segments, adaptive=True))
    for before, after in pairwise(trail):
        stopped = before.halted
        assert after.halted[stopped].all()
        assert torch.equal(after.logits[stopped], before.logits[stopped])
        assert torch.equal(after.segments[stopped], before.segments[stopped])
        assert torch.equal(after.segments[~stopped], before.segments[~stopped] + 1)
    assert trail[-1].segments.min() >= 1
    assert trail[-1].segments.max() <= segments
    assert len(trail) == segments or trail[-1].halted.all()

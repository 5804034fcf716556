"""Each measure against an independent formula, on maps and answers whose figures are known."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import SIZES, batch, equilibrium, seeded, trm
from noisy import noisy
from torch.func import jacrev

from recurlight import (
    Denoising,
    EveryUpdate,
    FixedHalting,
    IncompatibleComponents,
    LastUpdates,
    PhantomGradient,
    Recursion,
    SingleState,
    SoftmaxCrossEntropy,
)
from recurlight.diagnostics import (
    Step,
    Trace,
    at_rest,
    calibration_error,
    chance_error,
    coverage_risk,
    gradient,
    gradient_match,
    periods,
    reliability,
    residuals,
    segment_residuals,
    spectral_radius,
    still,
    trace,
)
from recurlight.draw.seeding import seeded_evaluation

from .planted import Pair, linear, symmetric


def ones(*shape):
    return SingleState(torch.ones(*shape, dtype=torch.float64))


@pytest.mark.parametrize("largest", [0.7, 1.6, -1.6])
def test_the_radius_is_that_of_the_largest_eigenvalue(largest):
    """Fails if it is a signed eigenvalue, or the iteration is not normalized or starts without that part."""
    weight = symmetric(largest)
    found = spectral_radius(lambda s: SingleState(s.answer @ weight.T + 3), ones(3, 4, 16), steps=64)
    torch.testing.assert_close(
        found.radius, torch.full((3,), abs(largest), dtype=torch.float64), rtol=1e-8, atol=0
    )
    assert found.spread.max() < 1e-8


def test_the_radius_is_no_norm():
    """Fails if the largest stretch of a step is taken: here 50, where the eigenvalues are 0.5 and 0.25."""
    weight = torch.tensor([[0.5, 50.0], [0.0, 0.25]], dtype=torch.float64)
    found = spectral_radius(lambda s: SingleState(s.answer @ weight.T), ones(1, 2), steps=64)
    torch.testing.assert_close(found.radius, torch.tensor([0.5], dtype=torch.float64), rtol=1e-6, atol=0)


def test_a_complex_pair_has_a_radius_too():
    """Fails if the last length is taken, which goes up and down between a sixth and six times it."""
    turn, phase = torch.tensor([[0.3, -1.0], [1.0, 0.3]], dtype=torch.float64), math.hypot(0.3, 1.0)
    skew = torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)
    weight = skew @ turn @ skew.inverse()
    found = spectral_radius(lambda s: SingleState(s.answer @ weight.T), ones(1, 2), steps=256)
    torch.testing.assert_close(found.radius, torch.tensor([phase], dtype=torch.float64), rtol=0.01, atol=0)
    assert found.spread < 0.01


def test_rows_have_radii_of_their_own():
    """Fails if rows are taken together, or the spread of one that has not converged is small."""
    scale = torch.tensor([0.2, 3.0, 0.0], dtype=torch.float64).view(3, 1)
    found = spectral_radius(lambda s: SingleState(s.answer * scale), ones(3, 5))
    torch.testing.assert_close(found.radius, scale[:, 0])
    assert found.spread.tolist() == [0, 0, 0]
    slow = torch.tensor([[0.5, 9.0], [0.0, 0.45]], dtype=torch.float64)  # nearly equal, and far from normal
    found = spectral_radius(lambda s: SingleState(s.answer @ slow.T), ones(1, 2), steps=8)
    assert found.radius.item() > 0.55
    assert found.spread.item() > 0.05


def test_the_radius_is_of_all_levels_together():
    """Fails if a level is left out: neither of them grows by itself, and the two together do."""

    def cycle(state):
        return Pair(answer=4.0 * state.latent, latent=0.25 * state.answer + state.latent)

    start = Pair(*torch.ones(2, 2, 3, dtype=torch.float64))
    jacobian = jacrev(lambda z: torch.stack(cycle(Pair(*z))))(torch.ones(2, dtype=torch.float64))
    expected = torch.linalg.eigvals(jacobian).abs().max()
    found = spectral_radius(cycle, start, steps=64)
    torch.testing.assert_close(found.radius, expected.expand(2), rtol=1e-8, atol=0)


def test_a_cycle_that_forgets_its_state_has_the_radius_zero():
    fresh = torch.ones(2, 3, dtype=torch.float64)
    assert spectral_radius(lambda s: SingleState(fresh), SingleState(fresh)).radius.tolist() == [0, 0]
    with pytest.raises(IncompatibleComponents, match="spectral_radius got steps=4: give 8 or more"):
        spectral_radius(lambda s: s, SingleState(fresh), steps=4)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of the yardstick
def test_a_cell_of_attention_has_a_radius():
    """Fails if derivatives are asked for that the fast attention does not have; checked by finite steps."""
    from helpers import attention, bound

    cell = bound(attention()).double()
    start, step = torch.randn(2, 16, 16, dtype=torch.float64, generator=seeded()), 1e-6
    found = spectral_radius(lambda s: SingleState(cell(s.answer)), SingleState(start), steps=200)
    jacobian = jacrev(lambda z: cell(z[None])[0])(start[0]).flatten(2).flatten(0, 1)
    near = (cell(start[:1] + step) - cell(start[:1]))[0].flatten() / step
    torch.testing.assert_close(jacobian.sum(1), near, rtol=1e-4, atol=1e-5)  # the yardstick itself
    expected = torch.linalg.eigvals(jacobian).abs().max()
    torch.testing.assert_close(found.radius[0], expected, rtol=0.02, atol=0)


def circle(period, length=9):
    """States that come back after so many segments, on their way to it."""
    points = torch.randn(period, 6, dtype=torch.float64, generator=seeded())
    return [points[n % period][None] + 1e-3 * 0.1**n for n in range(length)]


@pytest.mark.parametrize("period", [1, 2, 3, 5])
def test_a_period_is_found(period):
    """Fails if the smallest is not taken, or it is counted from the wrong end."""
    assert periods(circle(period)).tolist() == [period]


def test_what_drifts_or_spirals_in_has_no_period():
    """Fails if slow motion is a return, or a swing that dies down is a circle."""
    drift = [torch.ones(1, 3) * (1 + 0.1 * n) for n in range(9)]
    spiral = [torch.ones(1, 3) + (-0.8) ** n for n in range(9)]
    assert periods(drift).tolist() == periods(spiral).tolist() == [0]
    both = [torch.cat(pair) for pair in zip(drift, [s[:, :3].float() for s in circle(2)], strict=True)]
    assert periods(both).tolist() == [0, 2]


def composed(refiner=None, truncation=None, **settings):
    base = trm(max_segments=3, **settings)
    parts = refiner or base.refiner, truncation or base.truncation, base.halting
    return Recursion(SIZES, *parts, cycles=3, max_segments=3, **settings)


CASES = {
    "window": lambda: composed(),
    "phantom": lambda: composed(truncation=PhantomGradient(steps=2)),
    "noise": lambda: composed(refiner=noisy()),
    "feedback": lambda: composed(feedback=Denoising().feedback()),
    "solver": lambda: equilibrium(max_segments=3),
}


@pytest.mark.parametrize("name", CASES)
def test_a_trace_is_the_solve_itself(name):
    """Fails if watching draws, leaves the guess where it was, or takes another way than evaluation."""
    recursion, asked = CASES[name]().eval(), batch(5)
    with seeded_evaluation(7, 0):
        expected = [*recursion.unroll(asked, 3)]
    with seeded_evaluation(7, 0):
        seen = trace(recursion, asked, 3)
    for found, one in zip(seen.predictions, expected, strict=True):
        assert all(torch.equal(*fields) for fields in zip(found, one, strict=True))
    assert len(seen.states) == 4
    assert len(seen.injections) == 3


def test_residuals_are_relative_changes():
    """Fails if an update is missing, or divided by what was before: against `z <- W (z + x)` by hand."""
    recursion, asked = linear(0.9, cycles=3), batch(4)
    seen = trace(recursion, asked, 2)
    weight = recursion.refiner.cell.weight.detach().numpy()
    question = recursion.encoder(asked.inputs, asked.task).detach().numpy()
    state = recursion.refiner.initial_state(torch.from_numpy(question)).answer.numpy()
    expected, states = [], [state]
    for number in range(6):
        after = (state + question) @ weight.T
        norms = [np.linalg.norm(z.reshape(4, -1), axis=1) for z in (after - state, after)]
        expected.append((norms[0] / norms[1]).mean())
        state = after
        states += [state] if number % 3 == 2 else []
    np.testing.assert_allclose(residuals(seen)["answer"], expected, rtol=1e-10)
    assert [step.segment for step in seen.steps] == [1, 1, 1, 2, 2, 2]
    by_segment = [
        np.linalg.norm((b - a).reshape(4, -1), axis=1) / np.linalg.norm(b.reshape(4, -1), axis=1)
        for a, b in pairwise(states)
    ]
    np.testing.assert_allclose(segment_residuals(seen), by_segment, rtol=1e-10)


def test_the_gradient_of_a_window_is_that_of_the_loop_by_hand():
    """Fails if the two are of other states, a weight is left out, or the ratio is upside down."""
    recursion, asked, loss = linear(0.9, LastUpdates(1)), batch(4), SoftmaxCrossEntropy()
    injection = recursion.encoder(asked.inputs, asked.task)
    by_hand = []
    for recorded in (1, 4):
        state = recursion.refiner.initial_state(injection).answer
        for number in range(4):
            state = recursion.refiner.cell(state + injection)
            state = state if number >= 4 - recorded else (state - state.detach()) * 0 + state.detach()
            state = state.detach() if number < 4 - recorded else state
        total = loss(recursion.decoder(state), asked.labels).mean()
        grads = torch.autograd.grad(total, [*recursion.parameters()], retain_graph=True)
        by_hand.append(torch.cat([grad.flatten() for grad in grads]))
    short, full = by_hand
    match = gradient_match(recursion, asked, loss)
    assert match.cosine == pytest.approx((short @ full / short.norm() / full.norm()).item(), abs=1e-10)
    assert match.ratio == pytest.approx((short.norm() / full.norm()).item(), rel=1e-10)
    torch.testing.assert_close(gradient(recursion, asked, loss, EveryUpdate()), full)
    assert 0 < match.cosine < 0.99
    recursion.reconfigure(truncation=EveryUpdate())
    match = gradient_match(recursion, asked, loss)
    assert (match.cosine, match.ratio) == (pytest.approx(1), 1)


def test_reliability_and_coverage_are_those_of_numpy():
    """Fails if a bin has the wrong edge, empty bins count, or ties are torn from their order."""
    rng = np.random.default_rng(0)
    sure, right = rng.random(500), rng.random(500) < 0.4
    sure[:2] = 0, 1
    curve = reliability(torch.from_numpy(sure), torch.from_numpy(right))
    error = 0.0
    for place in range(10):
        inside = (sure >= place / 10) & ((sure < (place + 1) / 10) | (place == 9))
        assert curve.answers[place] == inside.sum()
        assert curve.accuracy[place].item() == pytest.approx(right[inside].mean())
        assert curve.confidence[place].item() == pytest.approx(sure[inside].mean())
        error += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    assert calibration_error(curve).item() == pytest.approx(error)
    found = coverage_risk(torch.from_numpy(sure), torch.from_numpy(right))
    for taken in (1, 17, 500):
        surest = np.argsort(-sure)[:taken]
        assert found.coverage[taken - 1].item() == pytest.approx(taken / 500)
        assert found.risk[taken - 1].item() == pytest.approx(1 - right[surest].mean())


@pytest.mark.parametrize("repeats", [1, 4])
def test_chance_is_what_a_calibrated_head_comes_to(repeats):
    """Fails if the formula is off by more than a tenth of a thousand draws' mean, or repeats count as new."""
    generator = seeded()
    sure = torch.rand(64, dtype=torch.float64, generator=generator)
    errors = []
    for _ in range(1000):
        right = torch.rand(64, dtype=torch.float64, generator=generator) < sure
        errors.append(calibration_error(reliability(sure.repeat(repeats), right.repeat(repeats))))
    expected = torch.stack(errors).mean()
    torch.testing.assert_close(
        chance_error(sure.repeat(repeats), repeats=repeats), expected, rtol=0.1, atol=0
    )


def test_what_is_calibrated_by_construction_has_no_error():
    """80 of 100 answers are right that it is 80 % sure of, and 10 of 100 that it is 10 % sure of."""
    sure = torch.tensor([0.8] * 100 + [0.1] * 100, dtype=torch.float64)
    right = torch.tensor(([True] * 80 + [False] * 20) + ([True] * 10 + [False] * 90))
    assert calibration_error(reliability(sure, right)).item() == pytest.approx(0, abs=1e-12)
    assert calibration_error(reliability(1 - sure, right)).item() == pytest.approx(0.5 * 0.6 + 0.5 * 0.8)
    assert calibration_error(reliability(sure[:0], right[:0])).item() == 0


def test_a_level_that_jumps_once_is_still():
    """Fails if its first update counts where there are more, or does not where there is one."""

    def seen(*changes):
        return Trace(tuple(Step(1, "latent", torch.tensor(c)) for c in changes), (), (), ())

    assert still(seen([1.0, 1.0, 0.0], [0.0, 1e-9, 0.5]))["latent"].tolist() == [True, True, False]
    assert still(seen([1.0, 0.0]))["latent"].tolist() == [False, True]
    assert still(seen([1.0], [torch.nan]))["latent"].tolist() == [False]


def disturb(recursion):
    with torch.no_grad(), at_rest(recursion):
        assert not any(part.training for part in recursion.modules())
        torch.rand(3)
        raise ValueError("on purpose")


def test_a_driver_at_rest_is_given_back_as_it_was():
    """Fails if a mode, a generator or a part of the user's is not given back, also after an error."""
    recursion = trm().train()
    recursion.refiner.eval()
    modes = [part.training for part in recursion.modules()]
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match="on purpose"):
        disturb(recursion)
    assert [part.training for part in recursion.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


def test_fixed_halting_has_no_confidence():
    from recurlight.diagnostics.calibration import judges

    assert not judges(FixedHalting())
    assert judges(trm().halting)

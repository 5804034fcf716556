"""What is drawn, against the formulas."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from recurlight import IncompatibleComponents
from recurlight.callbacks import Moment, RandomDepth, RandomWindow
from recurlight.callbacks.curricula.fitted import FittedWindow
from recurlight.truncation import EveryUpdate, LastCycles, LastPerLevel, LastUpdates

COUNT = 20_000


def drawn(curriculum, count: int = COUNT, cycles: int = 3) -> list[dict]:
    return [curriculum.change(Moment(0, step, None, {"cycles": cycles})) for step in range(count)]


@pytest.mark.parametrize(("mean", "sigma"), [(33.0, 0.5), (8.0, 0.5), (4.0, 0.0), (5.0, 1.0)])
def test_the_moments_of_the_log_normal_poisson(mean, sigma):
    """Fails if the spread shifts the mean, the one is not added, or the rate is not spread."""
    cycles = np.array([change["cycles"] for change in drawn(RandomDepth(mean=mean, sigma=sigma))])
    variance = (mean - 1) + (mean - 1) ** 2 * (math.exp(sigma**2) - 1)
    assert cycles.min() >= 1
    assert cycles.mean() == pytest.approx(mean, abs=5 * math.sqrt(variance / COUNT))
    assert cycles.var() == pytest.approx(variance, rel=0.15)


def test_the_share_of_each_depth_is_that_of_the_formula():
    """Fails if another distribution has the same mean and variance; the integral over rates is a sum here."""
    mean, sigma = 5.0, 0.5
    t = np.linspace(-6, 6, 4001)
    rates = np.exp(math.log(mean - 1) - sigma**2 / 2 + sigma * t)
    weight = np.exp(-(t**2) / 2) / np.exp(-(t**2) / 2).sum()
    found = Counter(change["cycles"] for change in drawn(RandomDepth(mean=mean, sigma=sigma)))
    for cycles in range(1, 12):
        k = cycles - 1
        share = (weight * np.exp(-rates) * rates**k / math.factorial(k)).sum()
        assert found[cycles] / COUNT == pytest.approx(share, abs=5 * math.sqrt(share / COUNT))


def test_bounds_cut_what_is_drawn():
    """Fails if a bound is not heeded, or another number takes its place."""
    free = [change["cycles"] for change in drawn(RandomDepth(mean=5.0), 999)]
    cut = [change["cycles"] for change in drawn(RandomDepth(mean=5.0, least=3, most=7), 999)]
    assert cut == [min(max(cycles, 3), 7) for cycles in free]


def test_uniform_depth_has_both_bounds_alike():
    """Fails if the upper bound is never drawn."""
    found = Counter(change["cycles"] for change in drawn(RandomDepth(least=2, most=5)))
    assert set(found) == {2, 3, 4, 5}
    assert all(count / COUNT == pytest.approx(0.25, abs=0.02) for count in found.values())


@pytest.mark.parametrize("most", [1, 4, None])
def test_windows_are_drawn_as_the_progressive_loss_draws_them(most):
    """Fails if a window can be longer than the rest, or pairs have other shares than two uniform draws."""
    found = Counter((c["cycles"], c["truncation"].count) for c in drawn(RandomWindow(most), cycles=3))
    limit = most or 3
    expected = {
        (without + count, count): 1 / limit / (limit - without)
        for without in range(limit)
        for count in range(1, limit - without + 1)
    }
    assert set(found) == set(expected)
    for pair, share in expected.items():
        assert found[pair] / COUNT == pytest.approx(share, abs=5 * math.sqrt(share / COUNT))


LEVELS = ("latent", "latent", "answer")


@pytest.mark.parametrize(
    ("window", "cycles", "mask"),
    [
        (LastUpdates(8), 1, (1, 1, 1)),
        (LastUpdates(5), 2, (0, 1, 1, 1, 1, 1)),
        (LastUpdates(2), 2, (0, 0, 0, 0, 1, 1)),
        (LastCycles(3), 2, (1,) * 6),
        (LastPerLevel({"latent": 5, "answer": 1}), 2, (1, 1, 0, 1, 1, 1)),
        (EveryUpdate(), 1, (1, 1, 1)),
    ],
)
def test_a_window_takes_what_there_is(window, cycles, mask):
    """Fails if a window that fits is changed, or the wrong end of one that does not is cut."""
    assert FittedWindow(window).mask(LEVELS, cycles) == tuple(map(bool, mask))


def test_a_window_that_never_fits_says_why():
    """Fails if the search for room goes on for ever, or hides the reason."""
    with pytest.raises(IncompatibleComponents, match="names the level 'latnt'"):
        FittedWindow(LastPerLevel({"latnt": 1})).mask(LEVELS, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomDepth(), "RandomDepth got neither mean nor most: give mean"),
        (lambda: RandomDepth(mean=1.0), "RandomDepth got mean=1.0: give more than 1"),
        (lambda: RandomDepth(mean=2.0, sigma=-0.1), "RandomDepth got sigma=-0.1: give 0 or more"),
        (lambda: RandomDepth(least=0, most=2), "RandomDepth got least=0: give 1 or more"),
        (lambda: RandomDepth(least=3, most=2), "RandomDepth got most=2: give 3 or more"),
        (lambda: RandomDepth(most="4"), "RandomDepth got most='4': give"),
        (lambda: RandomWindow(0), "RandomWindow got most=0: give 1 or more"),
    ],
)
def test_numbers_out_of_range_are_refused_when_made(make, message):
    """Fails if a mistake is found only when it is drawn."""
    with pytest.raises(IncompatibleComponents) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)

"""Damping, noise and random starts around any refiner."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, batch, bound, loader, mixer, module, seeded, trainer

from recurlight import draw
from recurlight.errors import IncompatibleComponents
from recurlight.halting import FixedHalting
from recurlight.recursion import Recursion
from recurlight.refiners import DampedRefiner, SingleRefiner, TwoLevelRefiner, TwoLevelState
from recurlight.testing import check_refiner
from recurlight.training import RecursiveModule
from recurlight.truncation import ImplicitGradient, LastCycles


def drawn(seed, rows=4):
    shape = (rows, SIZES.positions, SIZES.width)
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def two_level():
    return TwoLevelRefiner(mixer(), latent_steps=2)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_every_update_goes_part_of_the_way():
    """Fails if damping is applied once a cycle: later updates of a cycle read what earlier ones damped."""
    refiner = bound(DampedRefiner(two_level(), damping=0.75)).double()
    y, z, x = drawn(1), drawn(2), drawn(3)
    end = refiner.cycle(TwoLevelState(answer=y, latent=z), x)
    cell = refiner.refiner.latent
    for _ in range(2):
        z = 0.25 * z + 0.75 * cell(z + y + x)
    close(end.latent, z)
    close(end.answer, 0.25 * y + 0.75 * cell(y + z))


def test_a_damping_of_one_is_the_refiner_bit_for_bit():
    plain, x = bound(two_level()), drawn(3).float()
    state = TwoLevelState(drawn(1).float(), drawn(2).float())
    first, second = (one.cycle(state, x) for one in (plain, DampedRefiner(plain, damping=1.0)))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_noise_is_that_of_the_formula():
    """Of equilibrium reasoners: `(1 - d) z + d f(z) + noise e`, not scaled by the damping."""
    settings = {"damping": 0.5, "noise": 0.25}
    refiner = bound(DampedRefiner(two_level(), **settings)).double()
    calm = DampedRefiner(refiner.refiner, damping=0.5)
    state, x = TwoLevelState(drawn(1), drawn(2)), drawn(3)
    torch.manual_seed(5)
    after = refiner.update(state, x, "latent").latent
    torch.manual_seed(5)
    close(after, calm.update(state, x, "latent").latent + 0.25 * draw.normal(x))


def test_random_starts_replace_every_level():
    refiner = bound(DampedRefiner(two_level(), random_start=2.0))
    state = refiner.initial_state(drawn(0, rows=64).float())
    for leaf in state:
        assert abs(leaf.std().item() - 2) < 0.05
        assert not torch.equal(leaf[0], leaf[1])
    assert not torch.equal(state.answer, state.latent)
    assert refiner.stationary  # the cycle is the same map, wherever it starts


def test_noise_is_no_stationary_map():
    """One class, two answers: fixed-point gradients take it without noise and refuse it with."""

    def compose(**noise):
        parts = DampedRefiner(SingleRefiner(mixer()), 0.5, **noise), ImplicitGradient(), FixedHalting()
        return Recursion(SIZES, *parts, cycles=4, max_segments=1)

    assert compose(random_start=1.0).refiner.stationary
    with pytest.raises(IncompatibleComponents, match="DampedRefiner has stationary=False"):
        compose(noise=0.1)


def test_a_refiner_with_noise_stays_one_when_it_is_damped():
    noisy = DampedRefiner(SingleRefiner(mixer()), noise=0.1)
    assert not DampedRefiner(noisy, damping=0.5).stationary


def test_counts_of_the_refiner_are_changed_through_it(tmp_path):
    """Fails if a curriculum of depth cannot be had with damping, or a checkpoint forgets what was changed."""
    model = module(refiner=DampedRefiner(DampedRefiner(two_level())))
    recursion = model.recursion
    recursion.reconfigure(latent_steps=5, for_now=True)
    assert recursion.refiner.schedule().count("latent") == 5
    recursion.restore()
    assert recursion.refiner.schedule().count("latent") == 2
    recursion.reconfigure(latent_steps=3)
    run = trainer(max_steps=1)
    run.fit(model, loader([batch(4)]))
    run.save_checkpoint(tmp_path / "damped.ckpt")
    loaded = RecursiveModule.load_from_checkpoint(tmp_path / "damped.ckpt")
    assert loaded.recursion.stated["latent_steps"] == 3


@pytest.mark.parametrize("settings", [{}, {"noise": 0.1, "random_start": 1.0}], ids=["calm", "drawing"])
def test_it_keeps_what_refiners_promise(settings):
    check_refiner(lambda: DampedRefiner(two_level(), **settings), truncation=LastCycles(1))


@pytest.mark.parametrize(
    "setting", [{"damping": 0.0}, {"damping": 1.5}, {"noise": -1.0}, {"random_start": -1.0}]
)
def test_numbers_out_of_range_are_refused(setting):
    ((name, value),) = setting.items()
    with pytest.raises(IncompatibleComponents, match=f"^DampedRefiner got {name}={value}: give "):
        DampedRefiner(two_level(), **setting)

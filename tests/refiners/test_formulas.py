"""The published updates, written out."""

from __future__ import annotations

import torch
from helpers import SIZES, attention, bound, mixer, seeded

from recurlight.refiners import SingleRefiner, SingleState, TwoLevelRefiner, TwoLevelState


def draw(seed):
    shape = (2, SIZES.positions, SIZES.width)
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_single():
    refiner = bound(SingleRefiner(attention())).double()
    y, x = draw(1), draw(2)
    close(refiner.update(SingleState(y), x, "answer").answer, refiner.cell(y + x))


def test_two_levels_with_two_cells():
    """HRM: the low level sees everything, the high level only the low one."""
    refiner = bound(TwoLevelRefiner(mixer(), attention(), latent_steps=3)).double()
    y, z, x = draw(1), draw(2), draw(3)
    end = refiner.cycle(TwoLevelState(answer=y, latent=z), x)
    for _ in range(3):
        z = refiner.latent(z + y + x)
    y = refiner.answer(y + z)
    close(end.latent, z)
    close(end.answer, y)


def test_two_levels_with_one_cell():
    """TRM: the same network; the question tells the latent's updates from the answer's."""
    refiner = bound(TwoLevelRefiner(mixer(), latent_steps=2)).double()
    y, z, x = draw(1), draw(2), draw(3)
    end = refiner.cycle(TwoLevelState(answer=y, latent=z), x)
    cell = refiner.latent
    z = cell(cell(z + y + x) + y + x)
    close(end.latent, z)
    close(end.answer, cell(y + z))
    assert refiner.cells()["answer"] is cell


def test_start_vectors_are_unit_normal_cut_at_two_sigma():
    wide = SIZES._replace(width=4096)
    refiner = bound(TwoLevelRefiner(torch.nn.Identity()), wide)
    for start in (refiner.answer_start, refiner.latent_start):
        assert abs(start.vector.std().item() - 1) < 0.05
        assert start.vector.abs().max() < 2.28
    assert not torch.equal(refiner.answer_start.vector, refiner.latent_start.vector)

"""The cell that can settle."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, bound, pre_norm, seeded

from recurlight.cells import PreNormCell
from recurlight.cells.layers import rms_norm
from recurlight.errors import IncompatibleComponents
from recurlight.refiners import SingleRefiner, SingleState


def drawn(seed):
    return torch.randn(3, SIZES.positions, SIZES.width, generator=seeded(seed), dtype=torch.float64)


def test_branches_are_mixed_in_by_learned_shares():
    cell, x = bound(pre_norm(share=0.2, gain=0.5)).double(), drawn(1)
    (block,) = cell.blocks
    block.tilt.data = torch.randn(2, SIZES.width, generator=seeded(2), dtype=torch.float64)
    s, t = 0.4 * block.tilt.sigmoid()
    y = (1 - s) * x + s * 0.5 * block.attention(rms_norm(x))
    y = (1 - t) * y + t * 0.5 * block.feedforward(rms_norm(y))
    torch.testing.assert_close(cell(x), y, rtol=0, atol=1e-12)


def test_shares_begin_as_asked_and_weight_decay_leaves_them_there():
    cell = bound(pre_norm(share=0.2))
    tilts = [weight for name, weight in cell.named_parameters() if name.endswith("tilt")]
    assert len(tilts) == 1
    assert not any(tilt.any() for tilt in tilts)


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_shares_that_could_reach_one_are_refused(share):
    with pytest.raises(IncompatibleComponents, match=f"^PreNormCell got share={share}: give "):
        PreNormCell(share=share)


def test_untrained_its_cycle_contracts():
    """Fails if what is kept of the state does not shrink: then the injection adds up without end."""
    refiner, x = bound(SingleRefiner(pre_norm(2))).double(), drawn(3)
    state = refiner.initial_state(x)
    changes = []
    for _ in range(40):
        after = refiner.cycle(state, x)
        changes.append((after.answer - state.answer).norm().item())
        state = SingleState(after.answer.detach())
    assert changes[-1] < 1e-6 * changes[0]

"""The published mixer block, written out again."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, bound, seeded

from recurlight.cells import MixerCell
from recurlight.errors import IncompatibleComponents
from recurlight.types import Sizes

PREFIXED = Sizes(vocab=6, tokens=9, width=16, prefix=3)


def rms(x, axis):
    return x / (x.pow(2).mean(axis, keepdim=True) + 1e-5).sqrt()


def swiglu(x, gate_up, down, axes):
    """Apply a SwiGLU over the axis of `(b, n, d)` that the einsum string `axes` contracts."""
    gate, up = (torch.einsum(axes, x, half) for half in gate_up.chunk(2))
    gated = gate * torch.sigmoid(gate) * up
    return torch.einsum("bid,oi->bod" if axes == "bnd,in->bid" else "bni,oi->bno", gated, down)


def expected(x, cell):
    for block in cell.blocks:
        positions, channels = block.positions, block.channels
        mixed = swiglu(x, positions.gate_up.weight, positions.down.weight, "bnd,in->bid")
        x = rms(x + mixed, 1)  # over the positions, as the published code does
        x = rms(x + swiglu(x, channels.gate_up.weight, channels.down.weight, "bnd,id->bni"), 2)
    return x


@pytest.mark.parametrize("sizes", [SIZES, PREFIXED], ids=["tokens", "prefix"])
def test_equals_the_formula(sizes):
    cell = bound(MixerCell(layers=2, multiple=16), sizes).double()
    x = torch.randn(3, sizes.positions, sizes.width, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(cell(x), expected(x, cell), rtol=0, atol=1e-11)


def test_first_norm_is_over_the_positions():
    """With no feed-forward at all, each channel ends up scaled over positions, then each position."""
    cell = bound(MixerCell(layers=1, multiple=16)).double()
    for weight in cell.parameters():
        weight.data.zero_()
    x = torch.randn(1, SIZES.tokens, SIZES.width, generator=seeded(1), dtype=torch.float64)
    x[..., 0] *= 100  # a norm over channels alone would keep this channel large
    y = cell(x)
    assert y[..., 0].pow(2).mean() < 2
    torch.testing.assert_close(y, rms(rms(x, 1), 2), rtol=0, atol=1e-12)


def test_is_tied_to_one_sequence_length():
    cell = bound(MixerCell(multiple=16))
    assert cell.blocks[0].positions.gate_up.in_features == SIZES.positions
    with pytest.raises(IncompatibleComponents, match=r"got \(2, 17, 16\)"):
        cell(torch.zeros(2, SIZES.tokens + 1, SIZES.width))


def test_rebinding_to_other_sizes_is_refused_and_to_the_same_keeps_the_weights():
    cell = bound(MixerCell(multiple=16))
    weights = [weight.clone() for weight in cell.parameters()]
    bound(cell, seed=9)
    assert all(torch.equal(a, b) for a, b in zip(weights, cell.parameters(), strict=True))
    with pytest.raises(IncompatibleComponents) as caught:
        bound(cell, PREFIXED)
    assert "MixerCell was already built for" in str(caught.value)
    assert str(caught.value).endswith("make a new MixerCell")

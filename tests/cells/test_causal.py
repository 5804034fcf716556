"""The causal cell against the formula of attention, position by position."""

from __future__ import annotations

import torch
from helpers import SIZES, bound, seeded

from recurlight.cells import CausalTransformerCell
from recurlight.cells.layers import rms_norm


def test_a_block_attends_to_what_was_before_and_itself():
    """Fails if the mask is shifted by one, heads are mixed up, or positions turn another way."""
    cell = bound(CausalTransformerCell(1, heads=2, multiple=16)).double()
    block = cell.blocks[0]
    x = torch.randn(2, SIZES.positions, SIZES.width, generator=seeded(1), dtype=torch.float64)
    half, head = SIZES.width // 4, SIZES.width // 2
    angle = torch.arange(SIZES.positions, dtype=torch.float64)[:, None] * 10000.0 ** (
        -torch.arange(half, dtype=torch.float64) / half
    )
    turn = torch.polar(
        torch.ones_like(angle), angle
    )  # (N, half): one complex number for each pair of channels
    q, k, v = (x @ block.attention.qkv.weight.T).chunk(3, dim=-1)
    mixed = []
    for at in range(2):
        part = slice(at * head, (at + 1) * head)
        qs, ks = (torch.complex(y[..., part][..., :half], y[..., part][..., half:]) * turn for y in (q, k))
        scores = (qs[:, :, None] * ks[:, None].conj()).real.sum(-1) / head**0.5  # (B, N, N)
        rows = []
        for place in range(SIZES.positions):
            weights = scores[:, place, : place + 1].softmax(-1)
            rows.append((weights[..., None] * v[:, : place + 1, part]).sum(1))
        mixed.append(torch.stack(rows, dim=1))
    y = rms_norm(x + torch.cat(mixed, dim=-1) @ block.attention.out.weight.T)
    expected = rms_norm(y + block.feedforward(y))
    torch.testing.assert_close(cell(x), expected, rtol=0, atol=1e-12)

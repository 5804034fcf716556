"""The convolution inside the feed-forward, against torch's own."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from helpers import SIZES, bound, convolution, seeded
from torch.nn import functional

from recurlight.cells import ConvTransformerCell
from recurlight.cells.conv_transformer import ConvSwiGLU, convolve, convolve_grid
from recurlight.cells.layers import rms_norm
from recurlight.errors import IncompatibleComponents
from recurlight.types import Sizes

RECTANGLE = Sizes(vocab=6, tokens=54, width=16, prefix=2, grid=(6, 9))


def published(x, kernel, bias):
    """The published lines: pad half a kernel on either side, keep the first positions."""
    weight = kernel.T[:, None]
    size = len(kernel)
    y = functional.conv1d(x.transpose(1, 2), weight, bias, padding=size // 2, groups=len(weight))
    return y[..., : x.shape[1]].transpose(1, 2)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_convolution_as_published(size):
    """Fails if the kernel is reversed, or sees the position after in place of the one before."""
    x, kernel, bias = (
        torch.randn(shape, generator=seeded(place), dtype=torch.float64)
        for place, shape in enumerate([(3, 7, 5), (size, 5), (5,)])
    )
    torch.testing.assert_close(convolve(x, kernel, bias), published(x, kernel, bias), rtol=0, atol=1e-12)


def test_a_block_is_attention_then_the_gated_convolution():
    """Fails if the second activation is missing, or gate and up are exchanged."""
    block = bound(convolution()).double().blocks[0]
    x = torch.randn(2, SIZES.positions, SIZES.width, generator=seeded(1), dtype=torch.float64)
    y = rms_norm(x + block.attention(x))
    part: ConvSwiGLU = block.feedforward
    gate, up = (y @ part.gate_up.weight.T).chunk(2, dim=-1)
    mixed = published(gate * gate.sigmoid() * up, part.kernel, part.bias)
    expected = rms_norm(y + (mixed * mixed.sigmoid()) @ part.down.weight.T)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)


def test_weights_start_as_those_of_a_depthwise_convolution():
    """Fails if fan-in counts channels: the bound is one over the root of the kernel's size."""
    part = ConvSwiGLU(64, 4.0, 256, 2, seeded())
    for weight in (part.kernel, part.bias):
        assert weight.abs().max() <= 2**-0.5
        assert weight.std().item() == pytest.approx(6**-0.5, rel=0.1)


def test_a_kernel_of_nothing_is_refused():
    with pytest.raises(
        IncompatibleComponents, match="ConvTransformerCell got kernel=0: give 1 or more, as 2"
    ):
        ConvTransformerCell(kernel=0)


def by_hand(x, kernel, bias, grid, prefix):
    """Sum what every cell sees, one after another; the prefix sees itself."""
    (rows, columns), size = grid, len(kernel)
    y = torch.empty_like(x)
    for place in range(prefix):
        y[:, place] = bias + x[:, place] * kernel[size // 2, size // 2]
    for row, column in product(range(rows), range(columns)):
        total = bias
        for i, j in product(range(size), repeat=2):
            above, beside = row + i - size // 2, column + j - size // 2
            if 0 <= above < rows and 0 <= beside < columns:
                total = total + kernel[i, j] * x[:, prefix + above * columns + beside]
        y[:, prefix + row * columns + column] = total
    return y


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_two_axes_see_the_cells_around(size, prefix):
    """Fails if rows run into each other, rows and columns change places, or the prefix is on the grid."""
    x, kernel, bias = (
        torch.randn(shape, generator=seeded(place), dtype=torch.float64)
        for place, shape in enumerate([(3, prefix + 54, 5), (size, size, 5), (5,)])
    )
    found = convolve_grid(x, kernel, bias, (6, 9))
    torch.testing.assert_close(found, by_hand(x, kernel, bias, (6, 9), prefix), rtol=0, atol=1e-12)


def test_a_cell_of_two_axes_takes_the_grid_of_the_composition():
    """Fails if the cell's convolution or rotation falls back to a sequence, or its weights know the size."""
    cell = ConvTransformerCell(1, heads=2, multiple=16, kernel=3, rotary_axes=2, kernel_axes=2)
    bound(cell, RECTANGLE).double()
    x = torch.randn(2, RECTANGLE.positions, RECTANGLE.width, generator=seeded(1), dtype=torch.float64)
    (block,) = cell.blocks
    y = rms_norm(x + block.attention(x))
    part: ConvSwiGLU = block.feedforward
    gate, up = (y @ part.gate_up.weight.T).chunk(2, dim=-1)
    mixed = by_hand(gate * gate.sigmoid() * up, part.kernel, part.bias, (6, 9), prefix=2)
    expected = rms_norm(y + (mixed * mixed.sigmoid()) @ part.down.weight.T)
    torch.testing.assert_close(cell(x), expected, rtol=0, atol=1e-12)
    assert part.kernel.shape[:2] == (3, 3)
    assert part.kernel.abs().max() <= 1 / 3
    assert block.attention.places[-1].tolist() == [5, 8]


@pytest.mark.parametrize("setting", ["rotary_axes", "kernel_axes"])
@pytest.mark.parametrize(
    ("sizes", "found"),
    [(Sizes(6, 15, 16), "15 tokens are no square grid"), (Sizes(6, 16, 16, grid=(1, 16)), "1 x 16 tokens")],
)
def test_a_sequence_is_no_grid(sizes, found, setting):
    """Fails if a sequence of a square length is taken for a square, against what the data say."""
    with pytest.raises(
        IncompatibleComponents, match=f"^ConvTransformerCell: {found}.*: set {setting} to 1, or"
    ):
        bound(ConvTransformerCell(heads=2, **{setting: 2}), sizes)

"""The convolution inside the feed-forward, against torch's own."""

from __future__ import annotations

import pytest
import torch
from helpers import SIZES, bound, convolution, seeded
from torch.nn import functional

from recurlight.cells import ConvTransformerCell
from recurlight.cells.conv_transformer import ConvSwiGLU, convolve
from recurlight.cells.layers import rms_norm
from recurlight.errors import IncompatibleComponents


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

"""Convolutions alone, against torch's own, and on canvases of other sizes."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from helpers import SIZES, bound, convolutions, seeded
from torch.nn import functional

from recurlight.cells import ConvCell
from recurlight.cells.convolution import Convolution
from recurlight.cells.layers import rms_norm
from recurlight.errors import IncompatibleComponents
from recurlight.halting import FixedHalting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import SingleRefiner
from recurlight.truncation import LastUpdates
from recurlight.types import Batch, Sizes

drawn = partial(torch.randn, generator=seeded(1), dtype=torch.float64)


def padding(kernel: int) -> tuple[int, int]:
    return kernel // 2, (kernel - 1) // 2


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_along_a_sequence_as_torch(kernel):
    """Fails if the kernel is reversed or shifted, or channels and places are mixed up."""
    part, x = Convolution(5, kernel, None, seeded()).double(), drawn(3, 7, 5)
    weight = part.mix.weight.unflatten(1, (kernel, 5)).transpose(1, 2)  # (out, in, K)
    expected = functional.conv1d(functional.pad(x.transpose(1, 2), padding(kernel)), weight).transpose(1, 2)
    torch.testing.assert_close(part(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_on_a_grid_as_torch(kernel, prefix):
    """Fails if rows run into each other, rows and columns change places, or the prefix is on the grid."""
    part, x = Convolution(5, kernel, (6, 9), seeded()).double(), drawn(3, prefix + 54, 5)
    weight = part.mix.weight.unflatten(1, (kernel, kernel, 5)).permute(0, 3, 1, 2)
    grid = x[:, prefix:].reshape(3, 6, 9, 5).permute(0, 3, 1, 2)
    seen = functional.conv2d(functional.pad(grid, padding(kernel) * 2), weight)
    found = part(x)
    torch.testing.assert_close(found[:, prefix:], seen.flatten(2).transpose(1, 2), rtol=0, atol=1e-12)
    alone = functional.linear(x[:, :prefix], weight[:, :, kernel // 2, kernel // 2])
    torch.testing.assert_close(found[:, :prefix], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", [True, False])
def test_a_block_is_residual(norm):
    """Fails if the residual, the rectifier or the norm is missing or elsewhere."""
    (block,) = bound(convolutions(norm=norm)).double().blocks
    x = drawn(2, SIZES.positions, SIZES.width)
    expected = x + block.outer(block.inner(x).clamp(min=0))
    torch.testing.assert_close(block(x), rms_norm(expected) if norm else expected, rtol=0, atol=1e-12)


def solver(grid, axes, dtype=torch.float64):
    sizes = Sizes(vocab=6, tokens=grid[0] * grid[1], width=16, grid=grid)
    refiner = SingleRefiner(ConvCell(axes=axes))
    return Recursion(sizes, refiner, LastUpdates(1), FixedHalting(), cycles=12, max_segments=1).to(dtype)


@pytest.mark.parametrize(("axes", "small", "large"), [(1, (1, 7), (1, 40)), (2, (3, 4), (8, 9))])
def test_an_answer_does_not_depend_on_the_canvas(axes, small, large):
    """Fails if padding is seen, also after many updates, or a weight belongs to a place or a length."""
    rows, columns = small
    question = torch.randint(1, 6, (3, *small), generator=seeded())
    canvas = torch.zeros(3, *large, dtype=torch.int64)
    canvas[:, :rows, :columns] = question
    task, logits = torch.zeros(3, dtype=torch.int64), []
    for grid, asked in ((small, question), (large, canvas)):
        inputs = asked.flatten(1)
        found = solver(grid, axes).solve(Batch(inputs, inputs, task)).logits
        logits.append(found.unflatten(1, grid)[:, :rows, :columns])
    torch.testing.assert_close(*logits, rtol=0, atol=1e-9)


def test_an_update_sees_what_its_documentation_says():
    """Fails if a block sees further or less far than `kernel - 1` positions to each side."""
    sizes = Sizes(vocab=6, tokens=41, width=16)
    cell = bound(ConvCell(layers=2, kernel=5), sizes).double()
    x = drawn(1, 41, 16)
    other = x.clone()
    other[:, 20] += 1
    changed = (cell(x) != cell(other)).any(dim=2).squeeze(0).nonzero().flatten().tolist()
    assert changed == list(range(20 - 8, 20 + 8 + 1))


def test_a_sequence_is_no_grid():
    with pytest.raises(
        IncompatibleComponents, match=r"^ConvCell: 1 x 16 tokens are no grid.*: set axes to 1"
    ):
        bound(ConvCell(axes=2), Sizes(6, 16, 16, grid=(1, 16)))


@pytest.mark.parametrize("argument", [{"layers": 0}, {"kernel": 0}, {"axes": 3}])
def test_what_makes_no_cell_is_refused(argument):
    ((name, value),) = argument.items()
    with pytest.raises(IncompatibleComponents, match=f"^ConvCell got {name}={value}: give "):
        ConvCell(**argument)

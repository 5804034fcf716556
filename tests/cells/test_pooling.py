"""The cell that sees the means of its windows, against loops over the grid."""

from __future__ import annotations

import pytest
import torch
from helpers import bound, pooling, seeded

from recurlight.cells import PoolingCell
from recurlight.cells.layers import rms_norm
from recurlight.cells.pooling import window_means
from recurlight.data.sudoku.generate import BOXES
from recurlight.errors import IncompatibleComponents
from recurlight.types import Sizes

RECTANGLE = Sizes(vocab=6, tokens=54, width=8, prefix=2, grid=(6, 9))
WINDOWS = [(1, 9), (6, 1), (2, 3), (6, 9)]


def states(seed: int = 0, **sizes) -> torch.Tensor:
    return torch.randn(2, RECTANGLE.positions, RECTANGLE.width, generator=seeded(seed), dtype=torch.float64)


def of_one_window(cells: torch.Tensor, window: tuple[int, int], row: int, column: int) -> torch.Tensor:
    """What stands in the window that holds a cell, by slices: `(B, rows, columns, ...)`."""
    top, left = row - row % window[0], column - column % window[1]
    return cells[:, top : top + window[0], left : left + window[1]]


@pytest.mark.parametrize("window", WINDOWS)
def test_means_are_those_of_the_window_of_each_cell(window):
    """Fails if rows and columns are exchanged, or windows overlap."""
    cells = states()[:, 2:].unflatten(1, (6, 9))
    filled = torch.rand(2, 6, 9, generator=seeded(1)) < 0.4
    filled[0, :2, :3] = False  # a window of nothing
    for known in (None, filled):
        means = window_means(cells, window, known).expand(
            2, 6 // window[0], window[0], 9 // window[1], window[1], 8
        )
        means = means.reshape(2, 6, 9, 8)
        for row in range(6):
            for column in range(9):
                part = of_one_window(cells, window, row, column).flatten(1, 2)
                there = torch.ones(part.shape[:2], dtype=torch.bool)
                if known is not None:
                    there = of_one_window(known, window, row, column).flatten(1, 2)
                expected = torch.stack(
                    [x[t].sum(0) / max(int(t.sum()), 1) for x, t in zip(part, there, strict=True)]
                )
                torch.testing.assert_close(means[:, row, column], expected, rtol=0, atol=1e-12)


def test_a_block_is_a_gated_sum_over_itself_and_its_windows():
    """Fails if the prefix is pooled with the cells, gate and up are exchanged, or windows are."""
    block = bound(pooling(windows=WINDOWS), RECTANGLE).double().blocks[0]
    x = states()
    hidden = x @ block.gate_up.weight.T
    for window, mix in zip(WINDOWS, block.pooled, strict=True):
        cells = x[:, 2:].unflatten(1, (6, 9))
        for row in range(6):
            for column in range(9):
                mean = of_one_window(cells, window, row, column).mean((1, 2))
                hidden[:, 2 + row * 9 + column] += mean @ mix.weight.T
    hidden[:, :2] += x[:, 2:].mean(1, keepdim=True) @ block.across.weight.T
    hidden[:, 2:] += x[:, :2].mean(1, keepdim=True) @ block.across.weight.T
    gate, up = hidden.chunk(2, dim=-1)
    expected = rms_norm(x + (gate * gate.sigmoid() * up) @ block.down.weight.T)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)


def test_windows_follow_the_grid():
    """One cell of `null` windows means rows and columns of whatever grid it is bound to."""
    for grid in ((6, 9), (4, 4)):
        cell = bound(pooling(), Sizes(vocab=6, tokens=grid[0] * grid[1], width=8, grid=grid))
        assert cell.blocks[0].windows == ((1, grid[1]), (grid[0], 1))


@pytest.mark.parametrize("size", [4, 6, 9, 16])
def test_no_windows_are_the_groups_of_sudoku(size):
    """Fails if a box is not that of the puzzles of its size, which one recipe asks for at every size."""
    cell = bound(pooling(windows=None), Sizes(vocab=6, tokens=size**2, width=8, grid=(size, size)))
    assert cell.blocks[0].windows == ((1, size), (size, 1), BOXES[size])


def test_boxes_tile_every_grid():
    cell = bound(pooling(windows=None), RECTANGLE)
    assert cell.blocks[0].windows == ((1, 9), (6, 1), (2, 3))


def test_padding_is_not_pooled():
    """Fails if what stands on padding reaches a filled position."""
    cell = bound(pooling(masked=True), RECTANGLE).double()
    cell.filled = torch.rand(2, RECTANGLE.positions, generator=seeded(3)) < 0.5
    cell.filled[:, :2] = True  # a prefix always is
    x = states()
    other = torch.where(cell.filled[..., None], x, states(1))
    torch.testing.assert_close(cell(x)[cell.filled], cell(other)[cell.filled], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("windows", "says"),
    [
        ([], r"windows=\[\]: give rows and columns of each"),
        ([[3]], r"windows=\[\[3\]\]: give rows and columns of each"),
        ([[0, 1]], r"windows=\[\[0, 1\]\]: give rows and columns of each"),
    ],
)
def test_windows_that_are_none_are_refused(windows, says):
    with pytest.raises(IncompatibleComponents, match=f"^PoolingCell got {says}"):
        PoolingCell(windows=windows)


def test_windows_that_do_not_tile_the_grid_are_refused():
    with pytest.raises(
        IncompatibleComponents, match=r"^PoolingCell: windows of 4 x 9 do not tile a grid of 6 x 9"
    ):
        bound(pooling(windows=[[4, None]]), RECTANGLE)


def test_one_row_is_no_grid():
    with pytest.raises(IncompatibleComponents, match="1 x 9 tokens are no grid"):
        bound(pooling(), Sizes(vocab=6, tokens=9, width=8, grid=(1, 9)))

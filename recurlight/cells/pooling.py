"""The cell whose positions see the means of their row, their column or other windows of the grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurlight.cells.layers import check_cell, grid_of, inner_multiple, rms_norm, swiglu_width
from recurlight.errors import IncompatibleComponents
from recurlight.numerics import linear
from recurlight.types import Sized, Sizes

__all__ = ["PoolingCell", "window_means"]

Window = tuple[int | None, int | None]


def window_means(x: Tensor, window: tuple[int, int], filled: Tensor | None = None) -> Tensor:
    """Return the mean of each window of a grid that such windows tile.

    Args:
        x: `(B, R, C, D)`.
        window: Rows and columns of a window, which divide `R` and `C`.
        filled: `(B, R, C)` bool, what the means are over; None for everything. Nothing filled means 0.

    Returns:
        `(B, R / rows, 1, C / columns, 1, D)`, which broadcasts over `(B, R / rows, rows, C / columns,
        columns, D)`.

    Example:
        >>> x = torch.arange(4.0).reshape(1, 2, 2, 1)
        >>> window_means(x, (1, 2)).flatten(), window_means(x, (2, 1)).flatten()
        (tensor([0.5000, 2.5000]), tensor([1., 2.]))
    """
    tiled = tiles(x, window)
    if filled is None:
        return tiled.mean((2, 4), keepdim=True)
    weight = tiles(filled[..., None], window).to(x.dtype)
    return (tiled * weight).sum((2, 4), keepdim=True) / weight.sum((2, 4), keepdim=True).clamp(min=1)


def tiles(x: Tensor, window: tuple[int, int]) -> Tensor:
    """View `(B, R, C, D)` as `(B, R / rows, rows, C / columns, columns, D)`."""
    batch, rows, columns, width = x.shape
    return x.reshape(batch, rows // window[0], window[0], columns // window[1], window[1], width)


def box(rows: int, columns: int) -> tuple[int, int]:
    """Return rows and columns of the boxes of a grid, nearly square: those of Sudoku on its grids.

    Example:
        >>> box(4, 4), box(6, 6), box(9, 9), box(16, 16)
        ((2, 2), (2, 3), (3, 3), (4, 4))
    """
    height = next(side for side in range(math.isqrt(rows), 0, -1) if rows % side == 0)
    width = next(side for side in range(1, columns + 1) if columns % side == 0 and side**2 >= columns)
    return height, width


class PoolingBlock(nn.Module):
    """One post-norm block: a SwiGLU of a position's own state and of the means of its windows.

    Args:
        width: Width `D`.
        inner: Inner width of the SwiGLU.
        windows: Rows and columns of each window.
        grid: Rows and columns that the last positions are.
        generator: Draws the weights.
        prefix: Whether there are positions before the cells.
    """

    def __init__(
        self,
        width: int,
        inner: int,
        windows: Sequence[tuple[int, int]],
        grid: tuple[int, int],
        generator: torch.Generator,
        prefix: bool = False,
    ) -> None:
        super().__init__()
        self.windows, self.grid = tuple(windows), grid
        self.gate_up = linear(width, 2 * inner, generator)
        self.pooled = nn.ModuleList(linear(width, 2 * inner, generator) for _ in self.windows)
        if prefix:  # each sees the mean of the other
            self.across = linear(width, 2 * inner, generator)
        self.down = linear(inner, width, generator)

    def forward(self, x: Tensor, filled: Tensor | None = None) -> Tensor:
        """Map `(B, P + R * C, D)` to the same shape; see `window_means` for `filled`, `(B, P + R * C)`."""
        prefix = x.shape[1] - self.grid[0] * self.grid[1]
        cells = x[:, prefix:].reshape(x.shape[0], *self.grid, -1)
        known = None if filled is None else filled[:, prefix:].reshape(x.shape[0], *self.grid)
        hidden = self.gate_up(x)  # (B, N, 2 * inner)
        seen = hidden[:, prefix:].reshape(x.shape[0], *self.grid, -1)
        for window, mix in zip(self.windows, self.pooled, strict=True):
            seen = (tiles(seen, window) + mix(window_means(cells, window, known))).reshape(seen.shape)
        own = seen.flatten(1, 2)
        if prefix:
            told = window_means(cells, self.grid, known).reshape(x.shape[0], 1, -1)  # (B, 1, D)
            before = hidden[:, :prefix] + self.across(told)
            after = own + self.across(x[:, :prefix].mean(1, keepdim=True))
            own = torch.cat([before, after], dim=1)
        gate, up = own.chunk(2, dim=-1)
        return rms_norm(x + self.down(functional.silu(gate) * up))


class PoolingCell(Sized):
    """SwiGLU over a position and the means of its windows: rows, columns and blocks of a grid.

    `x = rms(x + down(silu(g) * u))` in each block, with `[g, u] = W x + sum_w V_w mean_w(x)`

    The cell for tasks whose rules speak of groups, as of rows, columns and boxes in Sudoku: what a cell has
    to know of its row is a sum over the row. All positions share their weights, where a `MixerCell` has to
    find out which belong together. It knows no place but the windows': which cell of its row is which, it
    cannot tell. Weights that were trained on one grid serve other grids that the windows tile. A prefix and
    the cells see each other's mean.

    Args:
        layers: Blocks.
        windows: Rows and columns of each window; None for all of the grid. `[[1, None], [None, 1]]` is the
            row and the column; add `[3, 3]` for the boxes of 9x9 Sudoku, and `[None, None]` for the whole.
            None in place of the list is row, column and box of Sudoku in the size of the grid.
        expansion: Inner width of the SwiGLU relative to the width, see `swiglu_width`.
        multiple: Inner widths are rounded up to a multiple of this; None as for `TransformerCell`.
        masked: Leave padding out of the means.

    Raises:
        IncompatibleComponents: A size leaves nothing to learn with; on `bind`, the tokens are no grid, or the
            windows do not tile it.

    Example:
        >>> cell = PoolingCell(layers=1, windows=[[1, None], [None, 1], [2, 2]])
        >>> cell.bind(Sizes(vocab=6, tokens=16, width=32), torch.Generator().manual_seed(0))
        >>> cell(torch.zeros(2, 16, 32)).shape
        torch.Size([2, 16, 32])

    Reference:
        Messages summed over a puzzle's groups: Palm et al. 2018, "Recurrent relational networks"
        (arXiv:1711.08028); pooled sets: Zaheer et al. 2017, "Deep sets" (arXiv:1703.06114).
    """

    def __init__(
        self,
        layers: int = 2,
        windows: Sequence[Sequence[int | None]] | None = ((1, None), (None, 1)),
        expansion: float = 4.0,
        multiple: int | None = None,
        masked: bool = False,
    ) -> None:
        super().__init__()
        check_cell(type(self).__name__, layers, 1, expansion, None, multiple)
        if windows is not None and not _are_windows(windows):
            raise IncompatibleComponents(
                f"PoolingCell got windows={[list(w) for w in windows]}: give rows and columns of each, from "
                "1, or null for all, such as [[1, null], [null, 1]]"
            )
        self.layers, self.expansion, self.multiple, self.masked = layers, expansion, multiple, masked
        self.windows = None if windows is None else [tuple(window) for window in windows]
        self.blocks = nn.ModuleList()

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the blocks, in the order in which they are applied."""
        grid = grid_of(sizes, type(self).__name__, "windows")
        given = [(1, None), (None, 1), box(*grid)] if self.windows is None else self.windows
        windows = [(rows or grid[0], columns or grid[1]) for rows, columns in given]
        for rows, columns in windows:
            if grid[0] % rows or grid[1] % columns:
                raise IncompatibleComponents(
                    f"PoolingCell: windows of {rows} x {columns} do not tile a grid of {grid[0]} x "
                    f"{grid[1]}: give sides that divide the grid's"
                )
        inner = swiglu_width(sizes.width, self.expansion, inner_multiple(self.multiple, sizes.width))
        for _ in range(self.layers):
            self.blocks.append(PoolingBlock(sizes.width, inner, windows, grid, generator, sizes.prefix > 0))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, D)` to the same shape and dtype."""
        self.expect_states(x)
        for block in self.blocks:
            x = block(x, self.filled)
        return x


def _are_windows(windows: Sequence[Sequence[int | None]]) -> bool:
    """Tell whether each window, of one or more, has two sides."""
    return bool(windows) and all(len(w) == 2 and all(s is None or s > 0 for s in w) for w in windows)

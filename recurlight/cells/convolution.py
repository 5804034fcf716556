"""The cell of convolutions alone, which knows neither length nor place."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurlight.cells.layers import grid_of, rms_norm
from recurlight.numerics import linear
from recurlight.spec.given import within
from recurlight.types import Sized, Sizes

__all__ = ["ConvCell", "Convolution", "neighbors", "neighbors_on_grid"]


def neighbors(x: Tensor, kernel: int) -> Tensor:
    """Put what each position of a sequence sees side by side, zeros beyond the ends.

    Args:
        x: `(B, N, D)`.
        kernel: Positions that each one sees, `K`; with 2 itself and the one before.

    Returns:
        `(B, N, K * D)`, the first one seen first.

    Example:
        >>> neighbors(torch.tensor([[[1.0], [2.0], [4.0]]]), 3)[0].tolist()
        [[0.0, 1.0, 2.0], [1.0, 2.0, 4.0], [2.0, 4.0, 0.0]]
    """
    positions = x.shape[1]
    padded = functional.pad(x, (0, 0, kernel // 2, (kernel - 1) // 2))  # (B, N + K - 1, D)
    return torch.cat([padded[:, place : place + positions] for place in range(kernel)], dim=-1)


def neighbors_on_grid(x: Tensor, kernel: int, grid: tuple[int, int]) -> Tensor:
    """Put what each cell of a grid sees side by side, zeros beyond the edge; the prefix sees itself alone.

    Args:
        x: `(B, P + R * C, D)`.
        kernel: Cells seen along each axis, `K`.
        grid: Rows and columns, `(R, C)`.

    Returns:
        `(B, P + R * C, K * K * D)`, row by row.

    Example:
        >>> x = torch.tensor([[[9.0], [1.0], [2.0], [3.0], [4.0]]])
        >>> neighbors_on_grid(x, 2, (2, 2))[0].int().tolist()
        [[0, 0, 0, 9], [0, 0, 0, 1], [0, 0, 1, 2], [0, 1, 0, 3], [1, 2, 3, 4]]
    """
    (rows, columns), around = grid, (kernel // 2, (kernel - 1) // 2)
    prefix = x.shape[1] - rows * columns
    padded = functional.pad(x[:, prefix:].reshape(x.shape[0], rows, columns, -1), (0, 0, *around, *around))
    seen = [padded[:, i : i + rows, j : j + columns] for i in range(kernel) for j in range(kernel)]
    cells = torch.cat(seen, dim=-1).flatten(1, 2)  # (B, R * C, K * K * D)
    if not prefix:
        return cells
    before = (kernel // 2) * (kernel + 1) * x.shape[2]  # numbers of what lies before a cell itself
    alone = functional.pad(x[:, :prefix], (before, cells.shape[2] - before - x.shape[2]))
    return torch.cat([alone, cells], dim=1)


class Convolution(nn.Module):
    """A full convolution of all channels, without bias, over a sequence or a grid.

    Args:
        width: Channels `D` that go in and come out.
        kernel: See `neighbors` and `neighbors_on_grid`.
        grid: Rows and columns that the last positions are; None for a sequence.
        generator: Draws the weights.
    """

    def __init__(
        self, width: int, kernel: int, grid: tuple[int, int] | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.kernel, self.grid = kernel, grid
        self.mix = linear(width * kernel ** (2 if grid else 1), width, generator)

    def forward(self, x: Tensor, filled: Tensor | None = None) -> Tensor:
        """Map `(B, N, D)` to the same shape; with `filled`, `(B, N)` bool, others are seen as zero."""
        seen = x if filled is None else x.masked_fill(~filled[..., None], 0.0)
        around = (
            neighbors(seen, self.kernel)
            if self.grid is None
            else neighbors_on_grid(seen, self.kernel, self.grid)
        )
        result: Tensor = self.mix(around)
        return result


class ConvBlock(nn.Module):
    """One residual block, `x = rms(x + convolution(relu(convolution(x))))`, or the same without the norm."""

    def __init__(self, inner: Convolution, outer: Convolution, normed: bool) -> None:
        super().__init__()
        self.inner, self.outer, self.normed = inner, outer, normed

    def forward(self, x: Tensor, filled: Tensor | None = None) -> Tensor:
        """Map `(B, N, D)` to the same shape; see `Convolution` for `filled`."""
        x = x + self.outer(functional.relu(self.inner(x, filled)), filled)
        return rms_norm(x) if self.normed else x


class ConvCell(Sized):
    """Residual convolutions over the sequence or the grid: no attention, no positions, any length.

    `x = rms(x + convolution(relu(convolution(x))))` in each block

    The cell of deep thinking, for problems that grow. What is far away is reached by going on: an update sees
    `(kernel - 1) * layers` positions to each side (of an odd kernel), so that a larger problem takes more
    updates of the same map. Give it a refiner that sees the question in every update, as `SingleRefiner`
    does. Where everything depends on everything and no size is new, attention needs fewer updates.

    Nothing in it depends on the size: weights that were trained on short sequences serve long ones.

    Args:
        layers: Residual blocks of two convolutions.
        kernel: Positions that a convolution covers, with two axes along each; an odd one looks to both sides
            alike.
        axes: 1 for a convolution along the sequence; 2 for the rows and columns of the data's grid, in which
            the prefix has no part.
        norm: Divide each position by its root mean square after every block; off as published, where the
            state may grow with every update.
        masked: Let padding be what lies beyond the edge, so that an answer does not depend on the canvas.
            What stands on padding is then read by no other position: turn it off where answers are longer
            than questions.

    Raises:
        IncompatibleComponents: A size leaves nothing to learn with; on `bind`, the tokens are no grid.

    Example:
        >>> cell = ConvCell(layers=1)
        >>> cell.bind(Sizes(vocab=3, tokens=32, width=16), torch.Generator().manual_seed(0))
        >>> cell(torch.zeros(2, 32, 16)).shape
        torch.Size([2, 32, 16])

    Reference:
        Schwarzschild et al. 2021, "Can you learn an algorithm?" (arXiv:2106.04537), and Bansal et al. 2022,
        "End-to-end algorithm synthesis with recurrent networks" (arXiv:2202.05826).
    """

    def __init__(
        self,
        layers: int = 2,
        kernel: int = 3,
        axes: Literal[1, 2] = 1,
        norm: bool = True,
        masked: bool = True,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        within(name, "layers", layers, 1)
        within(name, "kernel", kernel, 1)
        within(name, "axes", axes, 1, 2)
        self.layers, self.kernel, self.axes, self.norm, self.masked = layers, kernel, axes, norm, masked
        self.blocks = nn.ModuleList()

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the blocks, in the order in which they are applied."""
        grid = grid_of(sizes, type(self).__name__, "axes") if self.axes == 2 else None
        for _ in range(self.layers):
            inner, outer = (Convolution(sizes.width, self.kernel, grid, generator) for _ in range(2))
            self.blocks.append(ConvBlock(inner, outer, self.norm))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, D)` to the same shape and dtype."""
        self.expect_states(x)
        for block in self.blocks:
            x = block(x, self.filled)
        return x

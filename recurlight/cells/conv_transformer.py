"""The attention cell whose feed-forward looks at neighboring positions."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurlight.cells.layers import (
    Attention,
    check_cell,
    coordinates,
    grid_of,
    inner_multiple,
    rms_norm,
    swiglu_width,
)
from recurlight.errors import IncompatibleComponents
from recurlight.numerics import linear
from recurlight.spec.given import within
from recurlight.types import Sized, Sizes

__all__ = ["ConvSwiGLU", "ConvTransformerCell", "convolve", "convolve_grid"]


class ConvSwiGLU(nn.Module):
    """SwiGLU with a short convolution over the positions, `down(silu(conv(silu(gate) * up)))`.

    Each channel is convolved by itself; see `convolve` and, where there is a grid, `convolve_grid`.

    Args:
        width: Size of the last axis.
        expansion: See `swiglu_width`.
        multiple: See `swiglu_width`.
        kernel: Positions that the convolution covers, in a grid along each axis.
        generator: Draws the weights.
        grid: Rows and columns that the last positions are; None for a sequence.

    Reference:
        URM (arXiv:2512.14693), section 3.
    """

    def __init__(
        self,
        width: int,
        expansion: float,
        multiple: int,
        kernel: int,
        generator: torch.Generator,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        inner, taps = swiglu_width(width, expansion, multiple), (kernel,) * (2 if grid else 1)
        self.grid = grid
        self.gate_up = linear(width, 2 * inner, generator)
        bound = math.prod(taps) ** -0.5  # torch's own start of a depthwise convolution, as published
        self.kernel = nn.Parameter(torch.empty(*taps, inner).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.empty(inner).uniform_(-bound, bound, generator=generator))
        self.down = linear(inner, width, generator)

    def forward(self, x: Tensor, filled: Tensor | None = None) -> Tensor:
        """Map `(B, N, width)` to the same shape; with `filled`, `(B, N)` bool, others are seen as zero."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        hidden = functional.silu(gate) * up
        seen = hidden if filled is None else hidden.masked_fill(~filled[..., None], 0.0)
        if self.grid is None:
            mixed = convolve(seen, self.kernel, self.bias)
        else:
            mixed = convolve_grid(seen, self.kernel, self.bias, self.grid)
        if filled is not None:  # padding sees itself, as every position does
            own = self.kernel.to(x.dtype)[(len(self.kernel) // 2,) * (self.kernel.ndim - 1)]
            mixed = mixed + (hidden - seen) * own
        result: Tensor = self.down(functional.silu(mixed))
        return result


def convolve(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Convolve each channel over the positions, in the dtype of `x`.

    `y[n] = bias + sum_k kernel[k] x[n + k - K // 2]` over `K` positions, `x` zero outside; with `K = 2` a
    position sees itself and the one before.

    Args:
        x: `(B, N, C)`.
        kernel: `(K, C)`.
        bias: `(C,)`.

    Example:
        >>> x = torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> convolve(x, torch.tensor([[10.0], [1.0]]), torch.zeros(1)).flatten()
        tensor([ 1., 12., 24.])
    """
    size, positions = len(kernel), x.shape[1]
    padded = functional.pad(x, (0, 0, size // 2, (size - 1) // 2))  # (B, N + K - 1, C)
    kernel, total = kernel.to(x.dtype), bias.to(x.dtype)
    for place in range(size):
        total = total + padded[:, place : place + positions] * kernel[place]
    return total


def convolve_grid(x: Tensor, kernel: Tensor, bias: Tensor, grid: tuple[int, int]) -> Tensor:
    """Convolve each channel over rows and columns, in the dtype of `x`.

    `y[r, c] = bias + sum_ij kernel[i, j] x[r + i - K // 2, c + j - K // 2]`, `x` zero outside the grid. A
    position of the prefix, which is what comes before the cells, has no neighbors: it is as in a grid of one.

    Args:
        x: `(B, P + R * C, channels)`.
        kernel: `(K, K, channels)`.
        bias: `(channels,)`.
        grid: Rows and columns, `(R, C)`.

    Example:
        >>> x = torch.tensor([[[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]])
        >>> above = torch.tensor([[[0.0], [1.0]], [[0.0], [0.0]]])
        >>> convolve_grid(x, above, torch.zeros(1), (2, 3)).reshape(2, 3)
        tensor([[0., 0., 0.],
                [1., 2., 3.]])
    """
    size, (rows, columns) = len(kernel), grid
    prefix, around = x.shape[1] - rows * columns, (size // 2, (size - 1) // 2)
    kernel, bias = kernel.to(x.dtype), bias.to(x.dtype)
    cells = x[:, prefix:].reshape(x.shape[0], rows, columns, -1)  # (B, R, C, channels)
    padded, total = functional.pad(cells, (0, 0, *around, *around)), bias
    for row in range(size):
        for column in range(size):
            seen = padded[:, row : row + rows, column : column + columns]
            total = total + seen * kernel[row, column]
    alone = x[:, :prefix] * kernel[size // 2, size // 2] + bias
    return torch.cat([alone, total.flatten(1, 2)], dim=1)


class ConvBlock(nn.Module):
    """One post-norm block: `x = rms(x + attention(x)); x = rms(x + conv_swiglu(x))`."""

    def __init__(self, attention: Attention, feedforward: ConvSwiGLU) -> None:
        super().__init__()
        self.attention, self.feedforward = attention, feedforward

    def forward(self, x: Tensor, filled: Tensor | None = None) -> Tensor:
        """Map `(B, N, D)` to the same shape; see `Attention` and `ConvSwiGLU` for `filled`."""
        x = rms_norm(x + self.attention(x, filled))
        return rms_norm(x + self.feedforward(x, filled))


class ConvTransformerCell(Sized):
    """Post-norm transformer whose feed-forward also mixes neighboring positions.

    `x = rms(x + attention(x)); x = rms(x + conv_swiglu(x))`, no biases but that of the convolution

    The cell of URM on ARC, four blocks, refining a single level. Prefer it to `TransformerCell` where what is
    next to each other belongs together, as in grids read row by row; the convolution costs little. With two
    axes it sees the cells above and below too, not only those beside.

    Args:
        layers: Number of blocks.
        heads: Attention heads.
        expansion: Inner width of the SwiGLU relative to the width, see `swiglu_width`.
        rotary_base: Base of the rotary position embedding over all `N` positions, or None for none.
        multiple: Inner widths are rounded up to a multiple of this; None for 256, as published, and for 32 in
            models of width below 256.
        kernel: Positions that the convolution covers, 1 or more; with 2 each sees itself and the one before.
        rotary_axes: 1 for the place in the sequence, as published; 2 for row and column, as in
            `TransformerCell`.
        kernel_axes: 1 for a convolution along the sequence, as published; 2 for one of `kernel x kernel`
            cells of the data's grid, in which the prefix has no part; give it an odd kernel, as 3.
        masked: Let attention and convolution see no padding, as in `TransformerCell`.

    Raises:
        IncompatibleComponents: The kernel covers no position, or a size leaves nothing to learn with; on
            `bind`, the tokens are no grid.

    Example:
        >>> cell = ConvTransformerCell(layers=1, heads=2)
        >>> cell.bind(Sizes(vocab=6, tokens=16, width=32), torch.Generator().manual_seed(0))
        >>> cell(torch.zeros(2, 16, 32)).shape
        torch.Size([2, 16, 32])

    Reference:
        Gao et al., Universal reasoning model, arXiv:2512.14693.
    """

    def __init__(
        self,
        layers: int = 4,
        heads: int = 8,
        expansion: float = 4.0,
        rotary_base: float | None = 10000.0,
        multiple: int | None = None,
        kernel: int = 2,
        rotary_axes: Literal[1, 2] = 1,
        kernel_axes: Literal[1, 2] = 1,
        masked: bool = False,
    ) -> None:
        super().__init__()
        if kernel < 1:
            raise IncompatibleComponents(f"ConvTransformerCell got kernel={kernel}: give 1 or more, as 2")
        check_cell(type(self).__name__, layers, heads, expansion, rotary_base, multiple)
        within(type(self).__name__, "rotary_axes", rotary_axes, 1, 2)
        within(type(self).__name__, "kernel_axes", kernel_axes, 1, 2)
        self.layers, self.heads, self.kernel = layers, heads, kernel
        self.expansion, self.rotary_base, self.multiple = expansion, rotary_base, multiple
        self.rotary_axes, self.kernel_axes, self.masked = rotary_axes, kernel_axes, masked
        self.blocks = nn.ModuleList()

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the blocks, in the order in which they are applied."""
        owner, width = type(self).__name__, sizes.width
        multiple, places = inner_multiple(self.multiple, width), coordinates(sizes, self.rotary_axes, owner)
        grid = grid_of(sizes, owner, "kernel_axes") if self.kernel_axes == 2 else None
        for _ in range(self.layers):
            attention = Attention(width, self.heads, places, self.rotary_base, generator)
            feedforward = ConvSwiGLU(width, self.expansion, multiple, self.kernel, generator, grid)
            self.blocks.append(ConvBlock(attention, feedforward))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, D)` to the same shape and dtype."""
        self.expect_states(x)
        for block in self.blocks:
            x = block(x, self.filled)
        return x

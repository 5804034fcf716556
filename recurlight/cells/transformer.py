"""The published attention cell."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from recurlight.cells.layers import Attention, SwiGLU, check_cell, coordinates, inner_multiple, rms_norm
from recurlight.spec.given import within
from recurlight.types import Sized, Sizes

__all__ = ["TransformerCell"]


class TransformerBlock(nn.Module):
    """One post-norm block: `x = rms(x + attention(x)); x = rms(x + swiglu(x))`."""

    def __init__(self, attention: Attention, feedforward: SwiGLU) -> None:
        super().__init__()
        self.attention, self.feedforward = attention, feedforward

    def forward(self, x: Tensor, filled: Tensor | None = None) -> Tensor:
        """Map `(B, N, D)` to the same shape; see `Attention` for `filled`."""
        x = rms_norm(x + self.attention(x, filled))
        return rms_norm(x + self.feedforward(x))


class TransformerCell(Sized):
    """Post-norm transformer without biases: attention over all positions, then SwiGLU, in each block.

    `x = rms(x + attention(x)); x = rms(x + swiglu(x))`

    The cell of HRM (4 blocks for each level) and of TRM on mazes and ARC (2 blocks). On short fixed grids
    such as Sudoku, `MixerCell` is faster and more accurate. With `rotary_axes=2` positions are rows and
    columns of the data's grid, and a model whose encoder has no learned positions can move to other sizes.

    Args:
        layers: Number of blocks.
        heads: Attention heads; published models have 8 of width 64.
        expansion: Inner width of the SwiGLU relative to the width, see `swiglu_width`.
        rotary_base: Base of the rotary position embedding over all `N` positions, or None for none.
        rotary_axes: 1 for the place in the sequence, as published; 2 for row and column of the grid, each
            turning half of a head's channels, with the prefix on the diagonal before the first cell.
        multiple: Inner widths are rounded up to a multiple of this; None for 256, as published, and for 32 in
            models of width below 256.
        masked: Let no position attend to padding, so that an answer does not change with how much of it there
            is. What stands on padding is then read by no other position: leave it off where answers are
            longer than questions. It may be slower, for the fastest attention takes no mask.

    Raises:
        IncompatibleComponents: A size leaves nothing to learn with; on `bind`, the tokens are no grid.

    Example:
        >>> cell = TransformerCell(layers=1, heads=2)
        >>> cell.bind(Sizes(vocab=6, tokens=16, width=32), torch.Generator().manual_seed(0))
        >>> cell(torch.zeros(2, 16, 32)).shape
        torch.Size([2, 16, 32])

    Reference:
        HRM (arXiv:2506.21734) and TRM (arXiv:2510.04871), attention variant.
    """

    def __init__(
        self,
        layers: int = 2,
        heads: int = 8,
        expansion: float = 4.0,
        rotary_base: float | None = 10000.0,
        multiple: int | None = None,
        rotary_axes: Literal[1, 2] = 1,
        masked: bool = False,
    ) -> None:
        super().__init__()
        check_cell(type(self).__name__, layers, heads, expansion, rotary_base, multiple)
        within(type(self).__name__, "rotary_axes", rotary_axes, 1, 2)
        self.layers, self.heads = layers, heads
        self.expansion, self.rotary_base, self.multiple = expansion, rotary_base, multiple
        self.rotary_axes, self.masked = rotary_axes, masked
        self.blocks = nn.ModuleList()

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the blocks, in the order in which they are applied."""
        multiple = inner_multiple(self.multiple, sizes.width)
        places = coordinates(sizes, self.rotary_axes, type(self).__name__)
        for _ in range(self.layers):
            attention = Attention(sizes.width, self.heads, places, self.rotary_base, generator)
            self.blocks.append(
                TransformerBlock(attention, SwiGLU(sizes.width, self.expansion, multiple, generator))
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, D)` to the same shape and dtype."""
        self.expect_states(x)
        for block in self.blocks:
            x = block(x, self.filled)
        return x

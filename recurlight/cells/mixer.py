"""The published mixer cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurlight.cells.layers import SwiGLU, check_cell, inner_multiple, rms_norm
from recurlight.types import Sized, Sizes

__all__ = ["MixerCell"]


class MixerBlock(nn.Module):
    """One block: SwiGLU over the positions, then SwiGLU over the channels, each with its post-norm."""

    def __init__(self, positions: SwiGLU, channels: SwiGLU) -> None:
        super().__init__()
        self.positions, self.channels = positions, channels

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, D)` to the same shape."""
        x = x.transpose(1, 2).contiguous()  # (B, D, N); strided bfloat16 products are far slower
        x = rms_norm(x + self.positions(x))  # the published norm is over the positions here
        x = x.transpose(1, 2).contiguous()  # (B, N, D)
        return rms_norm(x + self.channels(x))


class MixerCell(Sized):
    """Attention-free cell: the attention of `TransformerCell` becomes a SwiGLU over the position axis.

    `x = rms_N(x + swiglu_N(x)); x = rms_D(x + swiglu_D(x))`, the index naming the axis

    The cell of TRM on Sudoku: fast and accurate on short sequences, but tied to one sequence length, so that
    a model cannot move to another grid size; use `TransformerCell` there and on long sequences.

    Args:
        layers: Number of blocks.
        expansion: Inner width of both SwiGLUs relative to their axis, see `swiglu_width`.
        multiple: Inner widths are rounded up to a multiple of this; None for 256, as published, and for 32 in
            models of width below 256.

    Raises:
        IncompatibleComponents: A size leaves nothing to learn with.

    Example:
        >>> cell = MixerCell(layers=1)
        >>> cell.bind(Sizes(vocab=6, tokens=16, width=32), torch.Generator().manual_seed(0))
        >>> cell(torch.zeros(2, 16, 32)).shape
        torch.Size([2, 16, 32])

    Reference:
        TRM (arXiv:2510.04871), section 4.5; after Tolstikhin et al. 2021, "MLP-Mixer" (arXiv:2105.01601).
    """

    def __init__(self, layers: int = 2, expansion: float = 4.0, multiple: int | None = None) -> None:
        super().__init__()
        check_cell(type(self).__name__, layers, 1, expansion, None, multiple)
        self.layers, self.expansion, self.multiple = layers, expansion, multiple
        self.blocks = nn.ModuleList()

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the blocks, in the order in which they are applied."""
        multiple = inner_multiple(self.multiple, sizes.width)
        for _ in range(self.layers):
            positions = SwiGLU(sizes.positions, self.expansion, multiple, generator)
            self.blocks.append(
                MixerBlock(positions, SwiGLU(sizes.width, self.expansion, multiple, generator))
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, D)` to the same shape and dtype."""
        self.expect_states(x)
        for block in self.blocks:
            x = block(x)
        return x

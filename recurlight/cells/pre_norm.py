"""A transformer that can settle: pre-norm, with learned shares of what is kept and what is new."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from recurlight.cells.layers import Attention, SwiGLU, check_cell, coordinates, inner_multiple, rms_norm
from recurlight.spec.given import within
from recurlight.types import Sized, Sizes

__all__ = ["PreNormCell"]


class ShareBlock(nn.Module):
    """One pre-norm block: `x = (1 - s) x + s gain attention(rms(x))`, then the same with the SwiGLU.

    Args:
        attention: First branch.
        feedforward: Second branch.
        width: Width `D`.
        share: Share `s` of each branch at first, the same in every channel.
        gain: Factor of each branch.
    """

    def __init__(
        self, attention: Attention, feedforward: SwiGLU, width: int, share: float, gain: float
    ) -> None:
        super().__init__()
        self.attention, self.feedforward, self.share, self.gain = attention, feedforward, share, gain
        # 0 stands for the first share, so that weight decay leads back to it and not to another
        self.tilt = nn.Parameter(torch.zeros(2, width))

    def forward(self, x: Tensor, filled: Tensor | None = None) -> Tensor:
        """Map `(B, N, D)` to the same shape; see `Attention` for `filled`."""
        first, second = (2 * self.share * self.tilt.sigmoid()).to(x.dtype)
        x = x.lerp(self.gain * self.attention(rms_norm(x), filled), first)
        return x.lerp(self.gain * self.feedforward(rms_norm(x)), second)


class PreNormCell(Sized):
    """Pre-norm transformer without biases, whose residual streams are weighted means with learned shares.

    `x = (1 - s) x + s gain attention(rms(x)); x = (1 - s) x + s gain swiglu(rms(x))` with
    `s = 2 share sigmoid(tilt)` in each channel of each branch, `tilt` learned from 0

    The cell for equilibrium models. What it keeps of its input shrinks by `1 - s` in every branch, and a
    branch answers the less to a change the larger its input is, for it sees only the direction. So a cycle
    can contract, and training decides how far. `TransformerCell` ends in a norm, which brings every state
    back to the same length.

    Args:
        layers: Number of blocks.
        heads: Attention heads.
        expansion: Inner width of the SwiGLU relative to the width, see `swiglu_width`.
        share: Share of each branch at first, above 0 and at most 0.5; learned shares stay below twice that.
        gain: Factor of each branch: the smaller, the more a cycle contracts. Below 1 where a level reads no
            question, as the answer of `TwoLevelRefiner`, whose small states a branch would answer strongly.
        rotary_base: Base of the rotary position embedding over all `N` positions, or None for none.
        rotary_axes: 1 for the place in the sequence; 2 for row and column of the grid, see `TransformerCell`.
        multiple: Inner widths are rounded up to a multiple of this; None as for `TransformerCell`.
        masked: Let no position attend to padding, see `TransformerCell`.

    Raises:
        IncompatibleComponents: A number is out of range; on `bind`, the tokens are no grid.

    Example:
        >>> cell = PreNormCell(layers=1, heads=2)
        >>> cell.bind(Sizes(vocab=6, tokens=16, width=32), torch.Generator().manual_seed(0))
        >>> cell(torch.zeros(2, 16, 32)).shape
        torch.Size([2, 16, 32])

    Reference:
        Pre-norm and learned residual scaling as in FPRM (arXiv:2606.18206); weighted means as in highway
        networks (arXiv:1505.00387).
    """

    def __init__(
        self,
        layers: int = 2,
        heads: int = 8,
        expansion: float = 4.0,
        share: float = 0.25,
        gain: float = 1.0,
        rotary_base: float | None = 10000.0,
        multiple: int | None = None,
        rotary_axes: Literal[1, 2] = 1,
        masked: bool = False,
    ) -> None:
        super().__init__()
        check_cell(type(self).__name__, layers, heads, expansion, rotary_base, multiple)
        within(type(self).__name__, "share", share, above=0, most=0.5)
        within(type(self).__name__, "gain", gain, above=0)
        within(type(self).__name__, "rotary_axes", rotary_axes, 1, 2)
        self.layers, self.heads, self.share, self.gain = layers, heads, share, gain
        self.expansion, self.rotary_base, self.multiple = expansion, rotary_base, multiple
        self.rotary_axes, self.masked = rotary_axes, masked
        self.blocks = nn.ModuleList()

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the blocks, in the order in which they are applied."""
        multiple = inner_multiple(self.multiple, sizes.width)
        places = coordinates(sizes, self.rotary_axes, type(self).__name__)
        for _ in range(self.layers):
            attention = Attention(sizes.width, self.heads, places, self.rotary_base, generator)
            feedforward = SwiGLU(sizes.width, self.expansion, multiple, generator)
            self.blocks.append(ShareBlock(attention, feedforward, sizes.width, self.share, self.gain))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, D)` to the same shape and dtype."""
        self.expect_states(x)
        for block in self.blocks:
            x = block(x, self.filled)
        return x

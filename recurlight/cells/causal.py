"""The attention cell of language: no position sees what comes after it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurlight.cells.layers import Attention, SwiGLU, check_cell, coordinates, inner_multiple
from recurlight.cells.transformer import TransformerBlock
from recurlight.types import Sized, Sizes

__all__ = ["CausalTransformerCell"]


class CausalTransformerCell(Sized):
    """`TransformerCell` for text: each position attends to itself and to those before it.

    `x = rms(x + causal_attention(x)); x = rms(x + swiglu(x))` in each block

    What stands at a position then depends on nothing after it, in every segment: padding on the right needs
    no mask, a model may learn to predict the next token at all positions at once, and `Recursion.generate`
    keeps the keys and values of what was read, see `Memory`. Give it a refiner that works position by
    position, as all of ours do.

    Args:
        layers: Number of blocks.
        heads: Attention heads.
        expansion: Inner width of the SwiGLU relative to the width, see `swiglu_width`.
        rotary_base: Base of the rotary position embedding, or None for none.
        multiple: Inner widths are rounded up to a multiple of this; None as for `TransformerCell`.

    Raises:
        IncompatibleComponents: A size leaves nothing to learn with.

    Example:
        >>> cell = CausalTransformerCell(layers=1, heads=2)
        >>> cell.bind(Sizes(vocab=6, tokens=16, width=32), torch.Generator().manual_seed(0))
        >>> x = torch.randn(1, 16, 32, generator=torch.Generator().manual_seed(1))
        >>> later = x.index_fill(1, torch.arange(8, 16), 0.0)
        >>> torch.equal(cell(x)[:, :8], cell(later)[:, :8])
        True

    Reference:
        Looped language models: Geiping et al. 2025 (Huginn, arXiv:2502.05171); Zhu et al. 2025 (Ouro,
        arXiv:2510.25741).
    """

    def __init__(
        self,
        layers: int = 2,
        heads: int = 8,
        expansion: float = 4.0,
        rotary_base: float | None = 10000.0,
        multiple: int | None = None,
    ) -> None:
        super().__init__()
        check_cell(type(self).__name__, layers, heads, expansion, rotary_base, multiple)
        self.layers, self.heads, self.expansion = layers, heads, expansion
        self.rotary_base, self.multiple = rotary_base, multiple
        self.blocks = nn.ModuleList()

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the blocks, in the order in which they are applied."""
        multiple, places = inner_multiple(self.multiple, sizes.width), coordinates(sizes, 1)
        for _ in range(self.layers):
            attention = Attention(sizes.width, self.heads, places, self.rotary_base, generator, causal=True)
            self.blocks.append(
                TransformerBlock(attention, SwiGLU(sizes.width, self.expansion, multiple, generator))
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, D)` to the same shape and dtype."""
        self.expect_states(x)
        for block in self.blocks:
            x = block(x)
        return x

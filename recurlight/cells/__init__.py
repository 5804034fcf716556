"""Cells: the networks that refiners apply again and again, `(B, N, D)` to `(B, N, D)`."""

from recurlight.cells.conv_transformer import ConvTransformerCell
from recurlight.cells.mixer import MixerCell
from recurlight.cells.transformer import TransformerCell

__all__ = ["ConvTransformerCell", "MixerCell", "TransformerCell"]

"""Cells: the networks that refiners apply again and again, `(B, N, D)` to `(B, N, D)`."""

from recurlight.cells.causal import CausalTransformerCell
from recurlight.cells.conv_transformer import ConvTransformerCell
from recurlight.cells.convolution import ConvCell
from recurlight.cells.mixer import MixerCell
from recurlight.cells.pooling import PoolingCell
from recurlight.cells.pre_norm import PreNormCell
from recurlight.cells.transformer import TransformerCell

__all__ = [
    "CausalTransformerCell",
    "ConvCell",
    "ConvTransformerCell",
    "MixerCell",
    "PoolingCell",
    "PreNormCell",
    "TransformerCell",
]

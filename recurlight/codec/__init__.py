"""Encoders and decoders, and the vectors that tell tasks apart."""

from recurlight.codec.base import Decoder, Encoder, PositionedEncoder
from recurlight.codec.continuous import ContinuousDecoder, ContinuousEncoder
from recurlight.codec.deep import DeepDecoder, DeepEncoder
from recurlight.codec.task_descent import add_tables, forget_gradients, sparse_sign_sgd_
from recurlight.codec.task_table import SparseTable
from recurlight.codec.tokens import TokenDecoder, TokenEncoder

__all__ = [
    "ContinuousDecoder",
    "ContinuousEncoder",
    "Decoder",
    "DeepDecoder",
    "DeepEncoder",
    "Encoder",
    "PositionedEncoder",
    "SparseTable",
    "TokenDecoder",
    "TokenEncoder",
    "add_tables",
    "forget_gradients",
    "sparse_sign_sgd_",
]

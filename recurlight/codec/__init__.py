"""Encoders and decoders, and the vectors that tell tasks apart."""

from recurlight.codec.task_descent import add_tables, forget_gradients, sparse_sign_sgd_
from recurlight.codec.task_table import SparseTable
from recurlight.codec.tokens import Decoder, Encoder, TokenDecoder, TokenEncoder

__all__ = [
    "Decoder",
    "Encoder",
    "SparseTable",
    "TokenDecoder",
    "TokenEncoder",
    "add_tables",
    "forget_gradients",
    "sparse_sign_sgd_",
]

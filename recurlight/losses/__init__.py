"""Per-sample losses of a read-out against its labels, which also say when an answer is right."""

from recurlight.losses.base import SequenceLoss, exactly_right
from recurlight.losses.cross_entropy import SoftmaxCrossEntropy, StablemaxCrossEntropy, log_stablemax
from recurlight.losses.squared_error import MeanSquaredError, relative_error

__all__ = [
    "MeanSquaredError",
    "SequenceLoss",
    "SoftmaxCrossEntropy",
    "StablemaxCrossEntropy",
    "exactly_right",
    "log_stablemax",
    "relative_error",
]

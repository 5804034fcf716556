"""Optimizers and learning-rate schedules of recursive reasoning."""

from recurlight.optim.adam_atan2 import AdamATan2, adam_atan2_
from recurlight.optim.groups import chosen, freeze
from recurlight.optim.making import make_optimizer, make_schedule
from recurlight.optim.schedule import LinearWarmup, LinearWarmupCosine, warmup_cosine_ratio, warmup_ratio
from recurlight.optim.split import Parameters, SplitOptimizer

__all__ = [
    "AdamATan2",
    "LinearWarmup",
    "LinearWarmupCosine",
    "Parameters",
    "SplitOptimizer",
    "adam_atan2_",
    "chosen",
    "freeze",
    "make_optimizer",
    "make_schedule",
    "warmup_cosine_ratio",
    "warmup_ratio",
]

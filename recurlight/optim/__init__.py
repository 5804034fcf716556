"""Optimizers and learning-rate schedules of recursive reasoning."""

from recurlight.optim.adam_atan2 import AdamATan2, adam_atan2_
from recurlight.optim.making import make_optimizer, make_schedule
from recurlight.optim.schedule import LinearWarmup, LinearWarmupCosine, warmup_cosine_ratio, warmup_ratio
from recurlight.optim.sparse_sign_sgd import add_tables, check_schedule, forget_gradients, sparse_sign_sgd_
from recurlight.optim.split import Parameters, SplitOptimizer

__all__ = [
    "AdamATan2",
    "LinearWarmup",
    "LinearWarmupCosine",
    "Parameters",
    "SplitOptimizer",
    "adam_atan2_",
    "add_tables",
    "check_schedule",
    "forget_gradients",
    "make_optimizer",
    "make_schedule",
    "sparse_sign_sgd_",
    "warmup_cosine_ratio",
    "warmup_ratio",
]

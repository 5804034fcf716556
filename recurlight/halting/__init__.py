"""Halting policies: when to stop."""

from recurlight.halting.base import Halting
from recurlight.halting.convergence import ConvergenceHalting
from recurlight.halting.correctness import CorrectnessHalting
from recurlight.halting.fixed import FixedHalting
from recurlight.halting.q_learning import QLearningHalting

__all__ = ["ConvergenceHalting", "CorrectnessHalting", "FixedHalting", "Halting", "QLearningHalting"]

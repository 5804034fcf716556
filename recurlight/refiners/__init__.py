"""Refiners: how the latent state is refined."""

from recurlight.refiners.base import Refiner, StartVector
from recurlight.refiners.single import SingleRefiner, SingleState
from recurlight.refiners.two_level import TwoLevelRefiner, TwoLevelState

__all__ = ["Refiner", "SingleRefiner", "SingleState", "StartVector", "TwoLevelRefiner", "TwoLevelState"]

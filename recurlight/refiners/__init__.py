"""Refiners: how the latent state is refined."""

from recurlight.refiners.base import Refiner, StartVector
from recurlight.refiners.damped import DampedRefiner
from recurlight.refiners.injected import InjectedRefiner
from recurlight.refiners.injection import AddedInjection, DecayInjection, Injection, ProjectedInjection
from recurlight.refiners.levels import SingleState, TwoLevelState
from recurlight.refiners.question_start import QuestionStartRefiner
from recurlight.refiners.single import SingleRefiner
from recurlight.refiners.two_level import TwoLevelRefiner

__all__ = [
    "AddedInjection",
    "DampedRefiner",
    "DecayInjection",
    "InjectedRefiner",
    "Injection",
    "ProjectedInjection",
    "QuestionStartRefiner",
    "Refiner",
    "SingleRefiner",
    "SingleState",
    "StartVector",
    "TwoLevelRefiner",
    "TwoLevelState",
]

"""Which updates of a segment carry gradient.

| policy | gradient | memory | choice of |
| --- | --- | --- | --- |
| `EveryUpdate` | all updates | all updates | Universal Transformer |
| `LastUpdates` | the last few updates | those | HRM, URM, Huginn |
| `LastCycles` | the last few cycles | those | TRM |
| `LastPerLevel` | the last few updates of each level | those | HRM-Text |
| `PhantomGradient` | a few damped cycles | those | phantom gradient |
| `ImplicitGradient` | the fixed point's | one cycle | deep equilibrium models |
"""

from recurlight.truncation.base import GradientTruncation
from recurlight.truncation.implicit import ImplicitGradient, SolverReport, warn_unconverged
from recurlight.truncation.phantom import PhantomGradient
from recurlight.truncation.solvers import AndersonSolver, FixedPointSolver, PicardSolver
from recurlight.truncation.window import EveryUpdate, GradientWindow, LastCycles, LastPerLevel, LastUpdates

__all__ = [
    "AndersonSolver",
    "EveryUpdate",
    "FixedPointSolver",
    "GradientTruncation",
    "GradientWindow",
    "ImplicitGradient",
    "LastCycles",
    "LastPerLevel",
    "LastUpdates",
    "PhantomGradient",
    "PicardSolver",
    "SolverReport",
    "warn_unconverged",
]

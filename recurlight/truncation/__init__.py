"""Which updates of a segment carry gradient.

| policy | gradient | memory | choice of |
| --- | --- | --- | --- |
| `EveryUpdate` | all updates | all updates | Universal Transformer |
| `LastUpdates` | the last few updates | those | HRM, URM, Huginn |
| `LastCycles` | the last few cycles | those | TRM |
| `LastPerLevel` | the last few updates of each level | those | HRM-Text |
| `PhantomGradient` | a few damped cycles | those | phantom gradient |
| `NeumannGradient` | the first terms of the fixed point's | one cycle | Jacobian-free, Neumann series |
| `ImplicitGradient` | the fixed point's | one cycle | deep equilibrium models |
"""

from recurlight.truncation.anderson import AndersonSolver
from recurlight.truncation.base import GradientTruncation
from recurlight.truncation.broyden import BroydenSolver
from recurlight.truncation.fixed_point import FixedPointGradient, SolverReport, warn_unconverged
from recurlight.truncation.implicit import ImplicitGradient
from recurlight.truncation.neumann import NeumannGradient
from recurlight.truncation.phantom import PhantomGradient
from recurlight.truncation.solvers import Convergence, FixedPointSolver, PicardSolver, Solution
from recurlight.truncation.window import EveryUpdate, GradientWindow, LastCycles, LastPerLevel, LastUpdates

__all__ = [
    "AndersonSolver",
    "BroydenSolver",
    "Convergence",
    "EveryUpdate",
    "FixedPointGradient",
    "FixedPointSolver",
    "GradientTruncation",
    "GradientWindow",
    "ImplicitGradient",
    "LastCycles",
    "LastPerLevel",
    "LastUpdates",
    "NeumannGradient",
    "PhantomGradient",
    "PicardSolver",
    "Solution",
    "SolverReport",
    "warn_unconverged",
]

"""What the dynamics of a driver are like, measured and judged.

`examine` looks at all of it; what it is made of are pure functions, one idea a file.
"""

from recurlight.diagnostics.calibration import (
    Coverage,
    Reliability,
    calibration_error,
    chance_error,
    coverage_risk,
    reliability,
)
from recurlight.diagnostics.circles import periods
from recurlight.diagnostics.drawing import picture
from recurlight.diagnostics.examination import examine
from recurlight.diagnostics.finding import Finding, Report
from recurlight.diagnostics.gradients import GradientMatch, gradient, gradient_match
from recurlight.diagnostics.residual import residuals, segment_residuals
from recurlight.diagnostics.resting import at_rest
from recurlight.diagnostics.spectrum import Spectrum, spectral_radius
from recurlight.diagnostics.stillness import still
from recurlight.diagnostics.tracing import Step, Trace, trace

__all__ = [
    "Coverage",
    "Finding",
    "GradientMatch",
    "Reliability",
    "Report",
    "Spectrum",
    "Step",
    "Trace",
    "at_rest",
    "calibration_error",
    "chance_error",
    "coverage_risk",
    "examine",
    "gradient",
    "gradient_match",
    "periods",
    "picture",
    "reliability",
    "residuals",
    "segment_residuals",
    "spectral_radius",
    "still",
    "trace",
]

"""Callbacks of the trainer."""

from recurlight.callbacks.compile import CompileCells
from recurlight.callbacks.curricula.base import Curriculum, Moment
from recurlight.callbacks.curricula.depth import DepthCurriculum
from recurlight.callbacks.curricula.random_depth import RandomDepth
from recurlight.callbacks.curricula.random_window import RandomWindow
from recurlight.callbacks.curricula.window import WindowCurriculum
from recurlight.callbacks.doctor import Doctor
from recurlight.callbacks.guards.failure import SaveOnFailure
from recurlight.callbacks.guards.finite import StopOnNonFinite
from recurlight.callbacks.guards.signals import StopOnSignal
from recurlight.callbacks.pictures import SamplePictures
from recurlight.callbacks.predictions import PredictionWriter
from recurlight.callbacks.progress_lines import ProgressLines
from recurlight.callbacks.submission import SubmissionWriter
from recurlight.callbacks.traces import TraceWriter
from recurlight.recursion import compile_cells

__all__ = [
    "CompileCells",
    "Curriculum",
    "DepthCurriculum",
    "Doctor",
    "Moment",
    "PredictionWriter",
    "ProgressLines",
    "RandomDepth",
    "RandomWindow",
    "SamplePictures",
    "SaveOnFailure",
    "StopOnNonFinite",
    "StopOnSignal",
    "SubmissionWriter",
    "TraceWriter",
    "WindowCurriculum",
    "compile_cells",
]

"""Callbacks of the trainer."""

from recurlight.callbacks.compile import CompileCells, compile_cells
from recurlight.callbacks.predictions import PredictionWriter

__all__ = ["CompileCells", "PredictionWriter", "compile_cells"]

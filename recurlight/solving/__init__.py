"""Using a trained model: texts in, answers out, without Lightning and without the data of its training."""

from recurlight.solving.answer import Answer, Piece
from recurlight.solving.solver import Solver, load

__all__ = ["Answer", "Piece", "Solver", "load"]

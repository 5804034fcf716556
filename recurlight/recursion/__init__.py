"""The driver of the recursion, in plain PyTorch, and what is checked before it runs."""

from recurlight.recursion.compile import compile_cells
from recurlight.recursion.driver import Recursion
from recurlight.recursion.exploration import minimum_age

__all__ = ["Recursion", "compile_cells", "minimum_age"]

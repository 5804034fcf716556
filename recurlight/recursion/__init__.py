"""The driver of the recursion, in plain PyTorch, and what is checked before it runs."""

from recurlight.recursion.compile import compile_cells
from recurlight.recursion.driver import Recursion
from recurlight.recursion.exploration import minimum_age
from recurlight.recursion.load import Loaded, load_recursion

__all__ = ["Loaded", "Recursion", "compile_cells", "load_recursion", "minimum_age"]

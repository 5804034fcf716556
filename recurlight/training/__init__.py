"""Training with Lightning: the module, what a run keeps, and what its figures were measured on."""

from recurlight.training.module import RecursiveModule

__all__ = ["RecursiveModule"]

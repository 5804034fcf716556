"""Steady temperatures on a plate: answers that are numbers."""

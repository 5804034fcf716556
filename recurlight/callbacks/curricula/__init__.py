"""Curricula: what changes the composition with the step of training."""

"""Mazes: rules, generation, files, the paths that a model predicts."""

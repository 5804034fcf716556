"""Sudoku: rules, generation, files, symmetries."""

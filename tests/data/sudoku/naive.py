"""A Sudoku solver that shares no idea with the package's."""

from __future__ import annotations

from recurlight.data.sudoku.generate import BOXES


def peers(cell: int, size: int) -> set[int]:
    height, width = BOXES[size]
    row, column = divmod(cell, size)
    return {
        other
        for other in range(size * size)
        if other != cell
        and (
            other // size == row
            or other % size == column
            or (other // size // height, other % size // width) == (row // height, column // width)
        )
    }


def naive_solutions(tokens: list[int], size: int, limit: int) -> list[list[int]]:
    """Solutions by plain backtracking on the cell with the fewest digits left; tokens as in the package."""
    near = [peers(cell, size) for cell in range(size * size)]
    found: list[list[int]] = []

    def search(grid: list[int]) -> None:
        empty = [cell for cell, token in enumerate(grid) if token == 1]
        if not empty:
            found.append(list(grid))
            return
        options = {cell: set(range(2, size + 2)) - {grid[other] for other in near[cell]} for cell in empty}
        cell = min(empty, key=lambda cell: len(options[cell]))
        for token in options[cell]:
            grid[cell] = token
            search(grid)
            grid[cell] = 1
            if len(found) >= limit:
                return

    search(list(tokens))
    return found

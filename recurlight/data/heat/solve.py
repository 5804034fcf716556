"""The steady state of the heat equation on a grid, by a direct solver."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recurlight.errors import DataError

__all__ = ["steady_state"]

_TOGETHER = 1 << 23
"""Entries of the matrices that are solved together, 64 MB of them."""


def steady_state(temperature: NDArray[np.float64], held: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the temperatures at which no heat flows: each free cell has the mean of its four neighbors.

    `u[i, j] = (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1]) / 4` where nothing is held, the
    discrete Laplace equation with Dirichlet values; one dense system of all cells for each grid, solved by
    elimination.

    Args:
        temperature: What is held, `(n, rows, columns)` float64; not looked at elsewhere.
        held: Where, of the same shape; the whole rim is.

    Returns:
        All temperatures, `(n, rows, columns)` float64.

    Raises:
        DataError: The shapes differ, or a cell of the rim is free.

    Example:
        >>> rim = np.ones((1, 3, 3), dtype=bool)
        >>> rim[0, 1, 1] = False
        >>> steady_state(np.array([[[9.0, 1, 9], [2, 9, 3], [9, 6, 9]]]), rim)[0, 1]
        array([2., 3., 3.])
    """
    if temperature.ndim != 3 or temperature.shape != held.shape:
        raise DataError(
            f"steady_state got {temperature.shape} temperatures and {held.shape} held: "
            "give (n, rows, columns) of both"
        )
    rim = np.ones(held.shape[1:], dtype=bool)
    rim[1:-1, 1:-1] = False
    if not held[:, rim].all():
        raise DataError(
            "steady_state got a free cell at the rim: hold all of it, so that there is one answer"
        )
    step = max(1, _TOGETHER // rim.size**2)
    parts = [_solve(temperature[at : at + step], held[at : at + step]) for at in range(0, len(held), step)]
    return np.concatenate(parts) if parts else np.zeros(held.shape)


def _solve(temperature: NDArray[np.float64], held: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Solve some grids together."""
    known = held.reshape(len(held), -1)  # (n, N)
    equations = np.where(known[:, :, None], np.eye(known.shape[1]), _balance(held.shape[1:]))  # (n, N, N)
    right = np.where(known, temperature.reshape(known.shape), 0.0)
    solved: NDArray[np.float64] = np.linalg.solve(equations, right[:, :, None])
    return solved.reshape(held.shape)


def _balance(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the equations of a grid of free cells, `(N, N)`: four times a cell less its neighbors."""
    rows, columns = shape
    matrix = np.zeros((rows, columns, rows, columns))
    row, column = np.indices(shape)
    matrix[row, column, row, column] = 4
    for down, across in ((0, 1), (1, 0)):
        here = row[: rows - down, : columns - across], column[: rows - down, : columns - across]
        there = here[0] + down, here[1] + across
        matrix[(*here, *there)] = matrix[(*there, *here)] = -1
    return matrix.reshape(rows * columns, -1)

"""Mazes with a long shortest path, from a counter; standard library only.

The cells of a maze are numbered row by row with one wall column between the rows, so that the neighbors of
cell `c` are `c - 1`, `c + 1`, `c - w` and `c + w` with `w = size + 1`. A set of cells is one integer, and a
step of breadth-first search is four shifts of it.

The file imports nothing of the package, so worker processes run it as a script and start in milliseconds.
"""

from __future__ import annotations

import random
import sys

__all__ = ["SYMBOLS", "TRIES", "VERSION", "make_maze"]

VERSION = 1
"""Part of the name of cached files: raise it when the mazes of a seed change."""
SYMBOLS = "# SGo"
"""Text of a wall, an open cell, the start, the goal and the path."""
TRIES = 500
"""Mazes that are drawn before a path of the wanted length is given up."""
_LOOPS = 0.03
"""A maze opens at most this share of the walls between its corridors, so that some paths have rivals."""


def _carve(size: int, rng: random.Random) -> list[bool]:
    """Draw corridors without loops: walk at random into walls that touch one open cell, and back.

    Returns:
        Which cells are open, with wall columns and a wall row below.
    """
    w = size + 1
    wall = ([True] * size + [False]) * size + [False] * (w + 1)  # what may be opened
    cell = rng.randrange(size) * w + rng.randrange(size)
    is_open = [False] * len(wall)
    wall[cell], is_open[cell] = False, True
    trail = [cell]
    while trail:
        cell = trail[-1]
        ways = [
            c
            for c in (cell - 1, cell + 1, cell - w, cell + w)
            if wall[c] and is_open[c - 1] + is_open[c + 1] + is_open[c - w] + is_open[c + w] == 1
        ]
        if not ways:
            trail.pop()
            continue
        cell = ways[int(rng.random() * len(ways))]
        wall[cell], is_open[cell] = False, True
        trail.append(cell)
    return is_open


def _open_loops(is_open: list[bool], size: int, rng: random.Random) -> None:
    """Open a few of the walls that touch two open cells or more, in place."""
    w = size + 1
    cells = (row * w + column for row in range(size) for column in range(size))
    between = [
        c
        for c in cells
        if not is_open[c] and is_open[c - 1] + is_open[c + 1] + is_open[c - w] + is_open[c + w] > 1
    ]
    for c in rng.sample(between, int(rng.random() * (1 + _LOOPS * len(between)))):
        is_open[c] = True


def _near(cells: int, w: int) -> int:
    """All neighbors of a set of cells."""
    return cells << 1 | cells >> 1 | cells << w | cells >> w


def _pick(cells: int, rng: random.Random) -> int:
    """Draw one cell of a set."""
    for _ in range(rng.randrange(cells.bit_count())):
        cells &= cells - 1
    return cells & -cells


def _layers(free: int, start: int, w: int) -> list[int]:
    """Cells at distance 0, 1, 2, ... from the start."""
    layers, left = [start], free & ~start
    while new := _near(layers[-1], w) & left:
        layers.append(new)
        left &= ~new
    return layers


def _path(layers: list[int], goal: int, w: int, rng: random.Random) -> int:
    """Cells between start and goal on a shortest path, drawn among its rivals step by step."""
    steps = next(k for k, layer in enumerate(layers) if layer & goal)
    path, cell = 0, goal
    for layer in layers[steps - 1 : 0 : -1]:
        cell = _pick(_near(cell, w) & layer, rng)
        path |= cell
    return path


def _text(size: int, symbols: dict[str, int]) -> str:
    cells = ["#"] * (size + 1) * size
    for symbol, places in symbols.items():
        while places:
            lowest = places & -places
            cells[lowest.bit_length() - 1] = symbol
            places ^= lowest
    return "".join("".join(cells[row * (size + 1) :][:size]) for row in range(size))


def make_maze(size: int, min_path: int, seed: int, index: int) -> tuple[str, str] | None:
    """Make maze number `index` of a seed: the question, and the answer with one shortest path in it.

    Corridors one cell wide come from a random walk that backs out of dead ends; a few walls between them are
    opened. The start is any open cell, the goal any at the wanted distance.

    Args:
        size: Rows and columns.
        min_path: Least number of steps from start to goal.
        seed: Any integer.
        index: Number of the maze; mazes are independent of each other.

    Returns:
        None if no maze among `TRIES` has such a path.

    Example:
        >>> question, answer = make_maze(6, 5, seed=0, index=0)
        >>> [question[row : row + 6] for row in range(0, 36, 6)]
        ['#  #  ', '  # S#', '#  #  ', ' #  # ', ' ## G ', '    # ']
        >>> [answer[row : row + 6] for row in range(0, 36, 6)]
        ['#  #  ', '  # S#', '#  #oo', ' #  #o', ' ## Go', '    # ']
    """
    rng = random.Random(f"{VERSION} {size} {min_path} {seed} {index}")
    w = size + 1
    for _ in range(TRIES):
        is_open = _carve(size, rng)
        _open_loops(is_open, size, rng)
        free = sum(1 << cell for cell, here in enumerate(is_open) if here)
        start = _pick(free, rng)
        layers = _layers(free, start, w)
        far = sum(layers[min_path:])  # the layers are disjoint
        if not far:
            continue
        goal = _pick(far, rng)
        question = {" ": free, "S": start, "G": goal}
        path = _path(layers, goal, w, rng)
        return _text(size, question), _text(size, {" ": free, "o": path, "S": start, "G": goal})
    return None


if __name__ == "__main__":
    _size, _min_path, _seed, *_range = map(int, sys.argv[1:])
    _maze: tuple[str, str] | None = ("", "")
    for _index in range(*_range):
        _maze = _maze and make_maze(_size, _min_path, _seed, _index)  # after one that is not found, none
        sys.stdout.write(",".join(_maze or ()) + "\n")

"""Mazes as texts, cell by cell: shares no idea with the package's search over whole arrays."""

from __future__ import annotations

from collections import deque

Cell = tuple[int, int]


def cells(text: str, symbols: str) -> list[Cell]:
    size = round(len(text) ** 0.5)
    return [divmod(place, size) for place, symbol in enumerate(text) if symbol in symbols]


def neighbors(cell: Cell, among: set[Cell]) -> list[Cell]:
    row, column = cell
    around = [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return [other for other in around if other in among]


def distances(text: str) -> dict[Cell, int]:
    """Steps from the start to every cell that can be reached."""
    free = set(cells(text, " SGo"))
    (start,) = cells(text, "S")
    found, waiting = {start: 0}, deque([start])
    while waiting:
        cell = waiting.popleft()
        for other in neighbors(cell, free):
            if other not in found:
                found[other] = found[cell] + 1
                waiting.append(other)
    return found


def shortest(text: str) -> int | None:
    (goal,) = cells(text, "G")
    return distances(text).get(goal)


def rivals(text: str) -> int:
    """Number of shortest paths."""
    steps = distances(text)
    (goal,) = cells(text, "G")
    ways = {cell: 1 for cell, k in steps.items() if k == 0}
    for cell in sorted(steps, key=steps.get)[1:]:
        ways[cell] = sum(ways[o] for o in neighbors(cell, set(steps)) if steps[o] == steps[cell] - 1)
    return ways[goal]


def is_path(question: str, answer: str) -> bool:
    """Whether the answer is the question with a path: every path cell touches two others, the ends one."""
    if any(a != q and (q, a) != (" ", "o") for q, a in zip(question, answer, strict=True)):
        return False
    ends, route = set(cells(question, "SG")), set(cells(question, "SG")) | set(cells(answer, "o"))
    if any(len(neighbors(cell, route)) != (1 if cell in ends else 2) for cell in route):
        return False
    seen, waiting = set(), [next(iter(ends))]
    while waiting:
        cell = waiting.pop()
        if cell not in seen:
            seen.add(cell)
            waiting += neighbors(cell, route)
    return seen == route

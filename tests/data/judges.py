"""Right and wrong answers told one by one, in plain Python: shares no idea with the package's rules."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations

from data.maze.naive import is_path, shortest
from recurlight.data import (
    AdditionData,
    MazeData,
    PermutationData,
    PuzzleData,
    QueensData,
    ReversalData,
    SortingData,
    SudokuData,
)
from recurlight.data.sequences.groups import elements

Grid = list[int]
Judge = Callable[[Grid, Grid], bool]
FEW = {"num_train": 40, "num_val": 4, "num_test": 4}
MIXED = {"min_length": 2, "length": 5, "eval_lengths": [3, 5, 6]}


def squares(grid: Grid) -> list[Grid]:
    size = round(len(grid) ** 0.5)
    return [grid[at : at + size] for at in range(0, len(grid), size)]


def sudoku(question: Grid, answer: Grid, height: int, width: int) -> bool:
    size, rows = height * width, squares(answer)
    shown = set(question) - {1}
    digits = shown if len(shown) == size else set(range(2, size + 2))
    boxes = [
        [rows[r][c] for r in range(down, down + height) for c in range(across, across + width)]
        for down in range(0, size, height)
        for across in range(0, size, width)
    ]
    units = [*rows, *map(list, zip(*rows, strict=True)), *boxes]
    clues = all(q in (1, a) for q, a in zip(question, answer, strict=True))
    return clues and all(set(unit) == digits for unit in units)


def maze(question: Grid, answer: Grid) -> bool:
    if not set(answer) <= {1, 2, 3, 4, 5}:
        return False
    asked, drawn = ("".join("# SGo"[token - 1] for token in grid) for grid in (question, answer))
    return is_path(asked, drawn) and drawn.count("o") + 1 == shortest(asked)


def filled(question: Grid, answer: Grid) -> tuple[Grid, Grid]:
    places = [place for place, token in enumerate(question) if token]
    return [question[place] for place in places], [answer[place] for place in places]


def sorting(question: Grid, answer: Grid) -> bool:
    asked, found = filled(question, answer)
    return sorted(asked) == found


def reversal(question: Grid, answer: Grid) -> bool:
    asked, found = filled(question, answer)
    return asked[::-1] == found


def products(question: Grid, answer: Grid, group: str) -> bool:
    table = [tuple(element) for element in elements(group).tolist()]
    found, product = [], table[0]
    for token in filled(question, answer)[0]:
        product = tuple(table[token - 1][place] for place in product)
        found.append(table.index(product) + 1)
    return found == filled(question, answer)[1]


def addition(question: Grid, answer: Grid) -> bool:
    columns = len(question) // 3
    asked = [column for column in range(columns) if question[2 * columns + column] == 1]
    summands = [
        sum((question[row * columns + column] - 2) * 10**power for power, column in enumerate(asked[:-1]))
        for row in (0, 1)
    ]
    digits = [answer[2 * columns + column] - 2 for column in asked]
    return set(digits) <= set(range(10)) and sum(d * 10**k for k, d in enumerate(digits)) == sum(summands)


def queens(question: Grid, answer: Grid) -> bool:
    size = round(len(question) ** 0.5)
    board = [place for place, token in enumerate(question) if token]
    found = [divmod(place, size) for place in board if answer[place] == 2]
    if {answer[place] for place in board} != {1, 2} or any(
        question[place] == 2 != answer[place] for place in board
    ):
        return False
    apart = all(
        a[0] != b[0] and a[1] != b[1] and abs(a[0] - b[0]) != abs(a[1] - b[1])
        for a, b in combinations(found, 2)
    )
    return apart and len(found) ** 2 == len(board)


TASKS: dict[str, tuple[Callable[[], PuzzleData], Judge]] = {
    "sudoku 4": (lambda: SudokuData(4, **FEW), partial(sudoku, height=2, width=2)),
    "sudoku 6": (lambda: SudokuData(6, augment=False, **FEW), partial(sudoku, height=2, width=3)),
    "sudoku 9": (lambda: SudokuData(9, **FEW), partial(sudoku, height=3, width=3)),
    "sudoku 4 of 9 digits": (lambda: SudokuData(4, digits=9, **FEW), partial(sudoku, height=2, width=2)),
    "maze": (lambda: MazeData(8, **FEW), maze),
    "sorting": (lambda: SortingData(shift=True, **MIXED, **FEW), sorting),
    "reversal": (lambda: ReversalData(shift=True, **MIXED, **FEW), reversal),
    "products in S4": (lambda: PermutationData("S4", **MIXED, **FEW), partial(products, group="S4")),
    "products in A4": (lambda: PermutationData("A4", length=5, **FEW), partial(products, group="A4")),
    "addition": (lambda: AdditionData(shift=True, **MIXED, **FEW), addition),
    "queens": (
        lambda: QueensData(min_length=7, length=8, eval_lengths=[7, 8, 9], shift=True, **FEW),
        queens,
    ),
}
RULED = [name for name in TASKS if name.split()[0] not in ("reversal", "products")]

"""Paths and symmetries against a search cell by cell, on 1,000 mazes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from data.maze.naive import cells, distances, is_path, neighbors, rivals, shortest
from recurlight.data.maze.generate import make_maze
from recurlight.data.maze.make import make_mazes
from recurlight.data.maze.read import maze_tokens
from recurlight.data.maze.rules import MazeRules, augment, drawn_steps, invariant, shortest_steps
from recurlight.data.puzzles import Puzzles

KEYS = np.arange(200, dtype=np.uint64)


def tokens(texts: list[str]) -> np.ndarray:
    return maze_tokens(np.frombuffer("".join(texts).encode(), dtype=np.uint8)).reshape(len(texts), -1)


def edited(text: str, places: list[tuple[int, int]], symbol: str) -> str:
    size = round(len(text) ** 0.5)
    marks = list(text)
    for row, column in places:
        marks[row * size + column] = symbol
    return "".join(marks)


def detour(question: str, rng: random.Random) -> str:
    """A random walk from start to goal that never steps beside its own trail, and so may end as any path."""
    free, (goal,) = set(cells(question, " SG")), cells(question, "G")
    while True:
        trail = cells(question, "S")
        while trail[-1] != goal:
            ways = [
                cell
                for cell in neighbors(trail[-1], free)
                if cell not in trail and len(neighbors(cell, set(trail))) == 1
            ]
            if not ways:
                break
            trail.append(rng.choice(ways))
        if trail[-1] == goal:
            return edited(question, trail[1:-1], "o")


def rival(question: str, rng: random.Random) -> str:
    """A random one of the shortest paths."""
    steps, trail = distances(question), cells(question, "G")
    while steps[trail[-1]]:
        ways = [cell for cell in neighbors(trail[-1], set(steps)) if steps[cell] == steps[trail[-1]] - 1]
        trail.append(rng.choice(ways))
    return edited(question, trail[1:-1], "o")


def changed(text: str, old: str, new: str, rng: random.Random) -> str:
    places = cells(text, old)
    return edited(text, [rng.choice(places)], new) if places else text


def prediction(kind: int, question: str, answer: str, rng: random.Random) -> str:
    match kind:
        case 0:
            return answer
        case 1:
            return rival(question, rng)
        case 2:
            return detour(question, rng)
        case 3:
            return changed(answer, "o", " ", rng)  # broken
        case 4:
            return changed(answer, " ", "o", rng)  # an island, a branch or a bulge
        case 5:
            return changed(answer, "#", rng.choice(" o"), rng)  # through a wall
        case 6:
            return changed(answer, *rng.choice((("SG", "o"), ("G", " "), (" ", "#"))), rng)
        case 7:
            return question
        case _:
            return "".join(rng.choice("# o") if symbol in " o" else symbol for symbol in answer)


def random_maze(size: int, rng: random.Random) -> str:
    """Walls anywhere: halls, islands, goals that cannot be reached."""
    text = "".join("#" if rng.random() < 0.3 else " " for _ in range(size * size))
    return changed(changed(text, "# ", "S", rng), "# ", "G", rng)


@pytest.fixture(scope="module")
def cases() -> tuple[list[str], list[str]]:
    rng = random.Random(0)
    questions, answers = [], []
    for index in range(1000):
        question, answer = make_maze(8, 1, 5, index)
        if index % 2:
            question = random_maze(8, rng)
            answer = rival(question, rng) if shortest(question) else question
        kind = rng.randrange(9) if shortest(question) else rng.randrange(3, 9)
        questions.append(question)
        answers.append(
            prediction(kind, question, answer, rng).replace("G", "o", kind == 6 and index % 3 == 0)
        )
    return questions, answers


def test_shortest_paths_equal_a_search_cell_by_cell(cases):
    """Fails if moves cross the edge of a row or of a maze, or a goal out of reach gets a number."""
    expected = [-1 if shortest(question) is None else shortest(question) for question in cases[0]]
    assert shortest_steps(tokens(cases[0])).tolist() == expected
    assert expected.count(-1) > 20


def test_valid_paths_equal_a_walk_cell_by_cell(cases):
    """Fails if islands, branches, loops, changed walls or lost ends pass, or a detour does not."""
    questions, answers = cases
    expected = [
        answer.count("o") + 1 if is_path(question, answer) else -1
        for question, answer in zip(questions, answers, strict=True)
    ]
    assert drawn_steps(tokens(questions), tokens(answers)).tolist() == expected
    valid = [steps for steps in expected if steps > 0]
    longer = [s for s, question in zip(expected, questions, strict=True) if s > 0 and s > shortest(question)]
    assert 200 < len(valid) < 800
    assert len(longer) > 10


def test_rules_hold_of_every_shortest_path_and_of_no_longer_one(cases):
    """Fails if a detour holds, or of several shortest paths only one does."""
    questions, answers = cases
    expected = [
        is_path(question, answer) and answer.count("o") + 1 == shortest(question)
        for question, answer in zip(questions, answers, strict=True)
    ]
    held = MazeRules().holds(*(torch.from_numpy(tokens(texts).astype(np.int64)) for texts in cases))
    assert held.tolist() == expected
    rng = random.Random(1)
    several = [question for question in questions if shortest(question) and rivals(question) > 1]
    others = [rival(question, rng) for question in several]
    assert len(several) > 100
    assert MazeRules().holds(*(torch.from_numpy(tokens(texts)) for texts in (several, others))).all()


def test_a_path_that_touches_itself_is_not_valid():
    """Fails if the number of path cells is not compared: each route takes three sides of a square."""
    questions, answers = ["SG       ", "S      G "], ["SG oo    ", "Sooo o G "]
    assert drawn_steps(tokens(questions), tokens(answers)).tolist() == [-1, -1]


def test_neither_mazes_nor_none_are_a_problem():
    """Fails if an empty batch is not handled."""
    nothing = np.zeros((0, 36), dtype=np.uint8)
    assert shortest_steps(nothing).shape == drawn_steps(nothing, nothing).shape == (0,)


def test_augmentation_is_one_of_eight_symmetries_the_same_for_both_grids():
    """Fails if question and answer are turned differently, or one symmetry is never drawn or drawn twice."""
    questions, answers = make_mazes(8, 8, 0, range(1), cores=1)
    many = Puzzles(questions, answers, np.zeros(1, dtype=np.uint8)).rows(np.zeros(200, dtype=np.int64))
    turned = augment(many, KEYS, size=8)
    assert (drawn_steps(turned.inputs, turned.labels) == shortest_steps(questions)[0]).all()
    images, counts = np.unique(turned.inputs, axis=0, return_counts=True)
    square = questions.reshape(8, 8)
    wanted = [np.rot90(side, k).reshape(-1) for side in (square, square[::-1]) for k in range(4)]
    assert {image.tobytes() for image in images} == {image.tobytes() for image in wanted}
    assert counts.min() > 10


def test_rows_are_augmented_by_their_own_key():
    """Fails if rows are mixed up when they are grouped by symmetry."""
    questions, answers = make_mazes(8, 8, 0, range(20), cores=1)
    puzzles, some = Puzzles(questions, answers, np.zeros(20, dtype=np.uint8)), np.array([7, 3, 15])
    together, apart = (
        augment(puzzles, KEYS[:20], size=8).rows(some),
        augment(puzzles.rows(some), KEYS[some], size=8),
    )
    assert all((one == two).all() for one, two in zip(together, apart, strict=True))


def test_the_invariant_survives_symmetries_and_sees_one_cell():
    """Fails if some of the eight images are left out, or the hash forgets where a token stands."""
    questions, answers = make_mazes(8, 8, 0, range(1), cores=1)
    many = Puzzles(questions, answers, np.zeros(1, dtype=np.uint8)).rows(np.zeros(200, dtype=np.int64))
    own = invariant(questions, 8)[0]
    assert (invariant(augment(many, KEYS, size=8).inputs, 8) == own).all()
    one_off = questions.repeat(64, axis=0)
    np.fill_diagonal(one_off, np.where(np.diagonal(one_off) == 1, 2, 1))
    moved = np.roll(questions, 1, axis=1)
    assert (invariant(np.concatenate([one_off, moved]), 8) != own).all()

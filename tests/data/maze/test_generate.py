from __future__ import annotations

import numpy as np
import pytest

from data.maze.naive import cells, is_path, neighbors, rivals, shortest
from recurlight.data.maze.generate import make_maze
from recurlight.data.maze.make import generated, make_mazes
from recurlight.data.maze.rules import invariant
from recurlight.errors import DataError

HARD = [make_maze(30, 111, 0, index) for index in range(25)]


def test_answers_are_shortest_paths_above_the_minimum():
    """Fails if the path may take a step to a cell that is not nearer, or the goal's layer is off by one."""
    for question, answer in HARD:
        assert question.count("S") == question.count("G") == 1
        assert is_path(question, answer)
        assert answer.count("o") + 1 == shortest(question) >= 111


@pytest.mark.parametrize("size", [6, 7, 64])
def test_sizes_fill_the_grid(size):
    """Fails if the wall column between rows leaks into the text, or an edge cannot be opened."""
    question, answer = make_maze(size, size, 3, 0)
    assert len(question) == len(answer) == size * size
    assert set(question) == set("# SG")
    grid = np.array(list(question)).reshape(size, size)
    assert all((edge != "#").any() for edge in (grid[0], grid[-1], grid[:, 0], grid[:, -1]))


def test_every_open_cell_can_be_reached_and_corridors_are_narrow():
    """Fails if carving forgets to look at one of the four sides."""
    for question, _ in HARD[:5]:
        free = set(cells(question, " SG"))
        seen, waiting = set(), [min(free)]
        while waiting:
            cell = waiting.pop()
            if cell not in seen:
                seen.add(cell)
                waiting += neighbors(cell, free)
        assert seen == free
        assert 0.5 < len(free) / 900 < 0.7


def test_some_mazes_have_several_shortest_paths():
    """Fails if no loops are opened, or so many that hardly a maze has one shortest path."""
    several = sum(rivals(question) > 1 for question, _ in HARD)
    assert 3 <= several <= 20


def test_a_maze_depends_on_its_numbers_alone():
    """Fails if one of the arguments does not reach the random state."""
    assert make_maze(8, 8, 0, 5) == make_maze(8, 8, 0, 5)
    numbers = [(8, least, seed, index) for least in (1, 8) for seed in range(2) for index in range(2)]
    assert len({make_maze(*each) for each in numbers}) == 8


def test_processes_make_the_same_mazes_as_one():
    """Fails if the worker's lines come back in another order, or spaces are lost on the way."""
    alone = make_mazes(8, 8, 1, range(4, 45), cores=1)
    together = make_mazes(8, 8, 1, range(4, 45), cores=3)
    assert all((one == many).all() for one, many in zip(alone, together, strict=True))
    assert set(np.unique(alone[0])) == {1, 2, 3, 4}
    assert set(np.unique(alone[1])) == {1, 2, 3, 4, 5}


def test_splits_share_no_maze_even_turned():
    """Fails if mazes are compared as they stand: of 6 x 6 many come twice among 600 up to symmetry."""
    splits = generated(6, 1, 0, (500, 50, 50))
    questions = np.concatenate([split.inputs for split in splits])
    assert [len(split.inputs) for split in splits] == [500, 50, 50]
    assert len(np.unique(invariant(questions, 6))) == 600


def test_the_cache_knows_the_shortest_path_wanted(monkeypatch):
    """Fails if the cached file's name forgets an argument."""
    first = generated(8, 8, 7, (10, 2, 2))

    def refuse(*_args, **_kwargs):
        raise AssertionError("made again")

    monkeypatch.setattr("recurlight.data.maze.make.make_mazes", refuse)
    again = generated(8, 8, 7, (10, 2, 2))
    assert (first.train.labels == again.train.labels).all()
    for other in ((8, 9, 7, (10, 2, 2)), (8, 8, 8, (10, 2, 2)), (8, 8, 7, (10, 2, 3))):
        with pytest.raises(AssertionError, match="made again"):
            generated(*other)


@pytest.mark.parametrize("count", [2, 40])
def test_impossible_paths_are_told(count):
    """Fails if a worker's failure comes back as a broken array or another error."""
    with pytest.raises(DataError, match=r"no maze of size 6 with a path of 36 steps .* lower data\.min_path"):
        make_mazes(6, 36, 0, range(count), cores=2)

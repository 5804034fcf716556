"""Symmetries of ARC grids against plain numpy, and there and back for every published task."""

from __future__ import annotations

import numpy as np
import pytest

from recurlight.data.arc.files import packaged_set
from recurlight.data.arc.grid import Symmetry, crop_sizes, draw, grid_sizes, move, restore, symmetries

AUGMENTATIONS = 100


def some_grids(count, seed=0, size=6):
    random = np.random.default_rng(seed)
    shapes = random.integers(1, size + 1, (count, 2))
    return [random.integers(0, 10, shape).astype(np.int8) for shape in shapes]


def canvases(grids, size=6):
    return np.stack([draw(grid, size) for grid in grids])[:, None]


def plainly(grid, symmetry, row):
    """The symmetry of one row by numpy's own functions."""
    if symmetry.flips[row, 0]:
        grid = grid[::-1]
    if symmetry.flips[row, 1]:
        grid = grid[:, ::-1]
    if symmetry.turned[row]:
        grid = grid.T
    return symmetry.tokens[row][grid + 2] - 2


def largest_rectangle(canvas):
    """The published rule, written out: the first of the largest rectangles free of other tokens."""
    best, found = 0, (0, 0)
    for rows in range(1, len(canvas) + 1):
        columns = 0
        while columns < len(canvas) and (canvas[:rows, columns] >= 2).all():
            columns += 1
        if rows * columns > best:
            best, found = rows * columns, (rows, columns)
    return found


@pytest.mark.parametrize("version", [1, 2])
def test_every_task_comes_back_from_its_variants(version):
    """Fails if, say, an inverse keeps the order of the flips or a crop takes in an end mark."""
    tasks = packaged_set(version, "training") + packaged_set(version, "evaluation")
    variant = np.arange(1, AUGMENTATIONS + 1)
    changed = 0
    for number, task in enumerate(tasks):
        grids = [grid for pair in [*task.train, *task.test] for grid in pair]
        plain = canvases(grids, size=30)[variant % len(grids)]
        symmetry = symmetries(version, number * 1001 + variant, 1001)
        moved = move(plain, symmetry, grid_sizes(plain))
        found = move(moved, symmetry.inverse(), crop_sizes(moved[:, 0])[:, None])
        assert np.array_equal(found, plain), task.name
        changed += np.count_nonzero((moved != plain).any(axis=(1, 2, 3)))
    assert changed > 0.97 * AUGMENTATIONS * len(tasks)  # grids of one color and such stay the same


def test_predictions_are_cropped_and_turned_back():
    """Fails if rows and columns of a transposed grid are not exchanged when it is cut out."""
    grids = some_grids(300)
    symmetry = symmetries(2, np.arange(300), 1001)
    plain = canvases(grids)
    found = restore(move(plain, symmetry, grid_sizes(plain))[:, 0].astype(np.int64), symmetry)
    assert all(np.array_equal(a, b) for a, b in zip(found, grids, strict=True))


def test_a_symmetry_does_what_numpy_does():
    """Fails if rows and columns are exchanged, or a grid is transposed before it is flipped."""
    grids = some_grids(200)
    symmetry = symmetries(3, np.arange(200), 1001)
    plain = canvases(grids)
    moved = move(plain, symmetry, grid_sizes(plain))
    for row, grid in enumerate(grids):
        assert (moved[row, 0] == draw(plainly(grid, symmetry, row), 6)).all()


def test_grids_are_shifted_with_their_end_marks():
    """Fails if the shift is not turned with the grid, or end marks stay behind or wrap around."""
    grids = some_grids(200, size=4)
    symmetry = symmetries(3, np.arange(200), 1001)
    offsets = np.random.default_rng(1).integers(0, 3, (200, 2))
    plain = canvases(grids)
    moved = move(plain, symmetry, grid_sizes(plain), offsets)
    for row, (grid, (down, right)) in enumerate(zip(grids, offsets, strict=True)):
        larger = np.zeros((9, 9), dtype=np.int8)
        larger[down:, right:] = draw(plainly(grid, symmetry, row), 9)[: 9 - down, : 9 - right]
        assert (moved[row, 0] == larger[:6, :6]).all()


def test_the_grids_of_a_sample_share_its_symmetry():
    """Fails if question and answer are moved by different rows of the symmetry."""
    grids = some_grids(60)
    pairs = canvases(grids).reshape(30, 2, 6, 6)
    symmetry = symmetries(0, np.arange(30), 1001)
    moved = move(pairs, symmetry, grid_sizes(pairs))
    for place in range(60):
        assert (moved[place // 2, place % 2] == draw(plainly(grids[place], symmetry, place // 2), 6)).all()


def test_variants_are_drawn_evenly_and_keep_black():
    """Fails if a geometry cannot occur, color 0 is permuted, or tokens of pad and end move."""
    symmetry = symmetries(0, np.arange(1, 8001), 10**6)
    kinds = symmetry.flips @ np.array([1, 2]) + 4 * symmetry.turned
    assert (np.bincount(kinds, minlength=8) > 900).all()
    assert (symmetry.tokens[:, :3] == np.arange(3)).all()
    assert (np.sort(symmetry.tokens, axis=1) == np.arange(12)).all()
    for color in range(3, 12):
        assert (np.bincount(symmetry.tokens[:, color], minlength=12)[3:] > 750).all()


def test_a_variant_depends_on_seed_and_identity_alone():
    """Fails if the draw depends on the batch around it, or ignores the seed."""
    every = symmetries(5, np.arange(100), 10)
    some = symmetries(5, np.array([71, 3]), 10)
    for whole, part in zip(every, some, strict=True):
        assert (whole[[71, 3]] == part).all()
    assert (symmetries(6, np.arange(100), 10).tokens != every.tokens).any()


def test_variant_zero_of_every_task_is_the_task():
    """Fails if only the first task has a plain variant."""
    symmetry = symmetries(0, np.arange(0, 500, 5), 5)
    assert not symmetry.flips.any()
    assert not symmetry.turned.any()
    assert (symmetry.tokens == np.arange(12)).all()


def test_crops_are_the_largest_rectangles():
    """Fails if a crop stops at the first end mark of the first row alone, or prefers the taller of two."""
    random = np.random.default_rng(0)
    tokens = random.choice([0, 1, 2, 5, 11], size=(500, 7, 7), p=[0.02, 0.08, 0.3, 0.3, 0.3])
    tokens[:3] = np.array([0, 1, 11])[:, None, None]
    expected = [largest_rectangle(canvas) for canvas in tokens]
    assert crop_sizes(tokens).tolist() == [list(size) for size in expected]
    assert expected[:3] == [(0, 0), (0, 0), (7, 7)]


def test_a_prediction_without_a_grid_comes_back_empty():
    """Fails if an empty crop raises or becomes a cell."""
    plain = Symmetry(np.zeros((1, 2), bool), np.zeros(1, bool), np.arange(12, dtype=np.int8)[None])
    assert restore(np.zeros((1, 4, 4), dtype=np.int64), plain)[0].size == 0

"""The direct solver against fields whose discrete Laplacian is zero, and against relaxation."""

from __future__ import annotations

import numpy as np
import pytest

from recurlight.data.heat import solve
from recurlight.data.heat.solve import steady_state
from recurlight.errors import DataError


def rim(rows, columns, count=1):
    held = np.ones((count, rows, columns), dtype=bool)
    held[:, 1:-1, 1:-1] = False
    return held


def relaxed(temperature, held, sweeps=4000):
    """Replace each free cell by the mean of its neighbors until nothing moves: slow, and another way."""
    found = np.where(held, temperature, 0.0)
    for _ in range(sweeps):
        inner = found[:, 1:-1, 1:-1]
        mean = (found[:, :-2, 1:-1] + found[:, 2:, 1:-1] + found[:, 1:-1, :-2] + found[:, 1:-1, 2:]) / 4
        found[:, 1:-1, 1:-1] = np.where(held[:, 1:-1, 1:-1], inner, mean)
    return found


@pytest.mark.parametrize("shape", [(12, 12), (4, 7), (3, 3)])
@pytest.mark.parametrize(
    "field",
    [
        lambda y, x: 1 + 2 * y - x,
        lambda y, x: x * y,
        lambda y, x: x**2 - y**2,
        lambda y, x: x**3 - 3 * x * y**2,
    ],
)
def test_fields_without_curvature_are_their_own_answer(shape, field):
    """Of these the four neighbors' mean is the cell itself, exactly; their rim decides them."""
    expected = field(*np.indices(shape).astype(float))[None]
    hidden = np.where(rim(*shape), expected, 77.0)
    np.testing.assert_allclose(steady_state(hidden, rim(*shape)), expected, atol=1e-9)


def test_cells_that_are_held_inside_keep_their_temperature_and_warm_the_others():
    draw = np.random.default_rng(0)
    held = rim(9, 9, 5) | (draw.uniform(size=(5, 9, 9)) < 0.1)
    temperature = draw.normal(size=held.shape)
    found = steady_state(temperature, held)
    np.testing.assert_allclose(found[held], temperature[held], rtol=1e-12)
    np.testing.assert_allclose(found, relaxed(temperature, held), atol=1e-10)


def test_many_grids_are_solved_in_parts(monkeypatch):
    """Breaks when parts are joined in another order, or the last one is lost."""
    temperature = np.random.default_rng(1).normal(size=(7, 5, 5))
    whole = steady_state(temperature, rim(5, 5, 7))
    monkeypatch.setattr(solve, "_TOGETHER", 3 * 25**2)
    np.testing.assert_allclose(steady_state(temperature, rim(5, 5, 7)), whole, atol=1e-12)
    assert steady_state(temperature[:0], rim(5, 5, 0)).shape == (0, 5, 5)


def test_a_rim_that_is_not_held_and_other_shapes_are_refused():
    held = rim(4, 4)
    held[0, 2, 0] = False
    with pytest.raises(DataError, match="a free cell at the rim: hold all of it"):
        steady_state(np.zeros((1, 4, 4)), held)
    with pytest.raises(DataError, match=r"got \(4, 4\) temperatures and \(1, 4, 4\) held: give"):
        steady_state(np.zeros((4, 4)), held)

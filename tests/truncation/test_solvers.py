from __future__ import annotations

import pytest
import torch

from recurlight.errors import IncompatibleComponents
from recurlight.truncation import AndersonSolver, PicardSolver

SOLVERS = [
    PicardSolver(tolerance=1e-12),
    PicardSolver(damping=0.7, tolerance=1e-12),
    AndersonSolver(tolerance=1e-12),
    AndersonSolver(history=1, tolerance=1e-12),
    AndersonSolver(history=8, damping=0.5, ridge=1e-10, tolerance=1e-12),
]


def linear_map(gain: float, rows: int = 4, size: int = 6, dtype: torch.dtype = torch.float64):
    """A map whose rows contract by `gain` and have different fixed points, and those fixed points."""
    generator = torch.Generator().manual_seed(11)
    matrix = torch.randn(rows, size, size, generator=generator, dtype=torch.float64)
    matrix = gain * matrix / torch.linalg.matrix_norm(matrix, 2)[:, None, None]
    shift = torch.randn(rows, size, generator=generator, dtype=torch.float64)
    exact = torch.linalg.solve(torch.eye(size, dtype=torch.float64) - matrix, shift)
    matrix, shift = matrix.to(dtype), shift.to(dtype)
    return (lambda z: (matrix[: len(z)] @ z[:, :, None])[:, :, 0] + shift[: len(z)]), exact


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_finds_the_solution_of_a_linear_system(solver):
    f, exact = linear_map(0.8)
    z, residual = solver.solve(f, torch.zeros_like(exact), 200)
    torch.testing.assert_close(z, exact, rtol=1e-10, atol=1e-10)
    assert residual.shape == (4,)
    assert residual.max() <= 1e-12


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_residual_is_that_of_the_returned_point(solver, steps):
    f, exact = linear_map(0.9)
    z, residual = solver.solve(f, torch.ones_like(exact), steps)
    change = f(z) - z
    torch.testing.assert_close(residual, change.norm(dim=1) / f(z).norm(dim=1))


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_map_is_evaluated_at_most_so_often(solver):
    f, exact = linear_map(0.9)
    calls = []
    solver.solve(lambda z: (calls.append(1), f(z))[1], torch.zeros_like(exact), 9)
    assert len(calls) == 9


def test_undamped_picard_is_plain_iteration():
    f, exact = linear_map(0.9)
    z = torch.zeros_like(exact)
    found, _ = PicardSolver(tolerance=0.0).solve(f, z, 4)
    torch.testing.assert_close(found, f(f(f(z))))


def test_damped_picard_solves_what_plain_picard_cannot():
    def f(z):
        return 1 - 1.5 * z

    start = torch.zeros(1, 1, dtype=torch.float64)
    assert PicardSolver().solve(f, start, 100)[1] > 0.1
    torch.testing.assert_close(PicardSolver(damping=0.5, tolerance=1e-9).solve(f, start, 100)[0], start + 0.4)


def test_anderson_needs_fewer_steps_than_picard():
    f, exact = linear_map(0.95)
    start = torch.zeros_like(exact)
    picard = PicardSolver(tolerance=0.0).solve(f, start, 15)[1]
    anderson = AndersonSolver(history=6, tolerance=0.0).solve(f, start, 15)[1]
    assert (anderson < 0.05 * picard).all()


def test_anderson_with_full_memory_is_direct_on_a_linear_map():
    f, exact = linear_map(0.95)
    z, _ = AndersonSolver(history=6, ridge=0.0, tolerance=1e-14).solve(f, torch.zeros_like(exact), 8)
    torch.testing.assert_close(z, exact, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("solver", [PicardSolver(), AndersonSolver(), AndersonSolver(ridge=0.0)], ids=repr)
def test_float32_stays_float32_and_converges(solver):
    f, exact = linear_map(0.7, dtype=torch.float32)
    z, residual = solver.solve(f, torch.zeros_like(exact, dtype=torch.float32), 60)
    assert z.dtype == residual.dtype == torch.float32
    torch.testing.assert_close(z.double(), exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_rows_do_not_see_each_other(solver):
    f, exact = linear_map(0.8)
    start = torch.zeros_like(exact)
    whole, residual = solver.solve(f, start, 12)
    part, part_residual = solver.solve(f, start[:2], 12)
    torch.testing.assert_close(whole[:2], part, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(residual[:2], part_residual, rtol=1e-6, atol=1e-13)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_row_that_is_not_finite_harms_no_other_and_is_reported(solver, bad):
    f, exact = linear_map(0.8)

    def broken(z):
        value = f(z)
        value[1] = bad
        return value

    start = torch.zeros_like(exact)
    z, residual = solver.solve(broken, start, 100)
    rest = [0, 2, 3]
    torch.testing.assert_close(z[rest], exact[rest], rtol=1e-8, atol=1e-8)
    assert torch.equal(z[1], start[1])
    assert residual[1] == torch.inf
    assert residual[rest].max() < 1e-8


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_diverging_row_returns_its_best_point(solver):
    def f(z):
        return 10 * z**3 + 1  # overflows after a few steps

    start = torch.full((1, 2), 0.5)
    z, residual = solver.solve(f, start, 30)
    assert z.isfinite().all()
    assert residual <= 1.75 / 2.25 + 1e-6  # that of the start


def test_passing_trouble_is_survived():
    f, exact = linear_map(0.5)
    calls = []

    def hiccup(z):
        calls.append(1)
        return torch.full_like(z, torch.nan) if len(calls) == 4 else f(z)

    for solver in (PicardSolver(tolerance=1e-12), AndersonSolver(tolerance=1e-12)):
        calls.clear()
        z, _ = solver.solve(hiccup, torch.zeros_like(exact), 80)
        torch.testing.assert_close(z, exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", [PicardSolver, AndersonSolver])
def test_asking_for_an_early_stop_saves_steps_and_changes_nothing(kind):
    f, exact = linear_map(0.5)
    counts, results = [], []
    for check_every in (0, 1, 4):
        calls = []
        solver = kind(tolerance=1e-6, check_every=check_every)
        results.append(solver.solve(lambda z, calls=calls: (calls.append(1), f(z))[1], exact * 0, 60))
        counts.append(len(calls))
    assert counts[1] <= counts[2] < counts[0] == 60
    for z, residual in results[1:]:
        assert torch.equal(z, results[0][0])
        assert torch.equal(residual, results[0][1])


def test_row_at_its_fixed_point_stays():
    f, exact = linear_map(0.5)
    z, residual = AndersonSolver().solve(f, exact, 20)
    torch.testing.assert_close(z, exact)
    assert residual.max() < 1e-12


def test_zero_row_has_converged():
    z, residual = AndersonSolver().solve(lambda z: z / 2, torch.zeros(2, 3), 5)
    assert torch.equal(z, torch.zeros(2, 3))
    assert torch.equal(residual, torch.zeros(2))


def test_residual_is_relative_for_tiny_rows():
    start = torch.full((1, 3), 1e-15)
    _, residual = PicardSolver().solve(lambda z: z * 0.5, start, 1)
    torch.testing.assert_close(residual, torch.ones(1))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PicardSolver(damping=0.0), "damping above 0"),
        (lambda: AndersonSolver(damping=1.5), "damping above 0"),
        (lambda: PicardSolver(tolerance=-1.0), "tolerance"),
        (lambda: PicardSolver(check_every=-1), "check_every"),
        (lambda: AndersonSolver(history=0), "history to at least 1"),
        (lambda: AndersonSolver(ridge=-1.0), "ridge"),
    ],
)
def test_settings_out_of_range_are_refused(build, message):
    with pytest.raises(IncompatibleComponents, match=message):
        build()

from __future__ import annotations

import inspect

import pytest
import torch

from recurlight import truncation
from recurlight.errors import IncompatibleComponents
from recurlight.truncation import AndersonSolver, BroydenSolver, FixedPointSolver, PicardSolver

KINDS = [PicardSolver, AndersonSolver, BroydenSolver]
SOLVERS = [
    PicardSolver(tolerance=1e-12),
    PicardSolver(damping=0.7, tolerance=1e-12),
    AndersonSolver(tolerance=1e-12),
    AndersonSolver(history=1, tolerance=1e-12),
    AndersonSolver(history=8, damping=0.5, ridge=1e-10, tolerance=1e-12),
    BroydenSolver(tolerance=1e-12),
    BroydenSolver(history=3, damping=0.7, tolerance=1e-12),
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
    z, residual, *_ = solver.solve(f, torch.zeros_like(exact), 200)
    torch.testing.assert_close(z, exact, rtol=1e-10, atol=1e-10)
    assert residual.shape == (4,)
    assert residual.max() <= 1e-12


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_residual_is_that_of_the_returned_point(solver, steps):
    f, exact = linear_map(0.9)
    z, residual, *_ = solver.solve(f, torch.ones_like(exact), steps)
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
    found = PicardSolver(tolerance=0.0).solve(f, z, 4)
    torch.testing.assert_close(found.point, f(f(f(z))))


def test_damped_picard_solves_what_plain_picard_cannot():
    def f(z):
        return 1 - 1.5 * z

    start = torch.zeros(1, 1, dtype=torch.float64)
    assert PicardSolver().solve(f, start, 100).residual > 0.1
    damped = PicardSolver(damping=0.5, tolerance=1e-9).solve(f, start, 100)
    torch.testing.assert_close(damped.point, start + 0.4)


def test_anderson_needs_fewer_steps_than_picard():
    f, exact = linear_map(0.95)
    start = torch.zeros_like(exact)
    picard = PicardSolver(tolerance=0.0).solve(f, start, 15).residual
    anderson = AndersonSolver(history=6, tolerance=0.0).solve(f, start, 15).residual
    assert (anderson < 0.05 * picard).all()


def test_anderson_with_full_memory_is_direct_on_a_linear_map():
    f, exact = linear_map(0.95)
    found = AndersonSolver(history=6, ridge=0.0, tolerance=1e-14).solve(f, torch.zeros_like(exact), 8)
    torch.testing.assert_close(found.point, exact, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("solver", [*(kind() for kind in KINDS), AndersonSolver(ridge=0.0)], ids=repr)
def test_float32_stays_float32_and_converges(solver):
    f, exact = linear_map(0.7, dtype=torch.float32)
    z, residual, *_ = solver.solve(f, torch.zeros_like(exact, dtype=torch.float32), 60)
    assert z.dtype == residual.dtype == torch.float32
    torch.testing.assert_close(z.double(), exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_rows_do_not_see_each_other(solver):
    f, exact = linear_map(0.8)
    start = torch.zeros_like(exact)
    whole, residual, *_ = solver.solve(f, start, 12)
    part, part_residual, *_ = solver.solve(f, start[:2], 12)
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
    z, residual, *_ = solver.solve(broken, start, 100)
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
    z, residual, *_ = solver.solve(f, start, 30)
    assert z.isfinite().all()
    assert residual <= 1.75 / 2.25 + 1e-6  # that of the start


def test_passing_trouble_is_survived():
    f, exact = linear_map(0.5)
    calls = []

    def hiccup(z):
        calls.append(1)
        return torch.full_like(z, torch.nan) if len(calls) == 4 else f(z)

    for solver in (kind(tolerance=1e-12) for kind in KINDS):
        calls.clear()
        found = solver.solve(hiccup, torch.zeros_like(exact), 80)
        torch.testing.assert_close(found.point, exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_asking_for_an_early_stop_saves_steps_and_changes_nothing(kind):
    f, exact = linear_map(0.5)
    counts, results = [], []
    for check_every in (0, 1, 4):
        calls = []
        solver = kind(tolerance=1e-6, check_every=check_every)
        results.append(solver.solve(lambda z, calls=calls: (calls.append(1), f(z))[1], exact * 0, 60))
        counts.append(len(calls))
    assert counts[1] <= counts[2] < counts[0] == 60
    for result in results[1:]:
        assert all(torch.equal(mine, first) for mine, first in zip(result, results[0], strict=True))


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_row_at_its_fixed_point_stays(solver):
    f, exact = linear_map(0.5)
    found = solver.solve(f, exact, 20)
    torch.testing.assert_close(found.point, exact)
    assert found.residual.max() < 1e-12


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_zero_row_has_converged(solver):
    found = solver.solve(lambda z: z / 2, torch.zeros(2, 3), 5)
    assert torch.equal(found.point, torch.zeros(2, 3))
    assert torch.equal(found.residual, torch.zeros(2))
    assert found.converged.all()
    assert found.steps.tolist() == [1, 1]


@pytest.mark.parametrize("size", [1e-40, 1e-30, 1e-15, 1.0, 1e15, 1e30])
def test_residual_is_relative_for_rows_of_any_size(size):
    """Fails if squares vanish or overflow, for a residual of 0 would count as converged."""
    start = torch.full((1, 3), size)
    found = PicardSolver().solve(lambda z: z * 0.5, start, 1)
    torch.testing.assert_close(found.residual, torch.ones(1))
    assert not found.converged


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_the_evaluations_until_a_row_converged(kind):
    f, exact = linear_map(0.8)
    start = torch.cat([exact[:1], torch.zeros_like(exact[1:])])
    solver = kind(tolerance=1e-6)
    whole = solver.solve(f, start, 150)
    assert whole.converged.all()
    assert whole.steps[0] == 1
    assert whole.steps.dtype == torch.int64
    most = int(whole.steps.max())
    assert solver.solve(f, start, most).converged.all()
    short = solver.solve(f, start, most - 1)
    assert short.converged.tolist() == (whole.steps < most).tolist()
    assert short.steps.tolist() == whole.steps.clamp(max=most - 1).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_absolute_tolerance_serves_where_the_fixed_point_is_zero(kind):
    start = torch.ones(2, 3, dtype=torch.float64) * torch.tensor([[1.0], [1e-9]])
    never = kind(damping=0.5, tolerance=1e-9).solve(lambda z: z.sin() / 2, start, 12)
    found = kind(damping=0.5, tolerance=1e-9, absolute_tolerance=1e-3).solve(lambda z: z.sin() / 2, start, 30)
    assert found.converged.all()
    assert found.steps[1] == 1
    change = found.point.sin() / 2 - found.point
    assert (change.norm(dim=1) <= 1e-3).all()
    assert found.residual[1] == pytest.approx(1.0)  # it says what it is, beside the flag
    assert kind is not PicardSolver or not never.converged.any()


def test_no_evaluation_means_not_converged():
    found = PicardSolver().solve(lambda z: z, torch.zeros(2, 3), 0)
    assert found.residual.tolist() == [torch.inf] * 2
    assert found.steps.tolist() == [0, 0]
    assert not found.converged.any()


def test_a_broyden_solver_with_room_is_direct_on_a_linear_map():
    """Gay, Some convergence properties of Broyden's method, 1979: it ends after 2 F steps."""
    f, exact = linear_map(0.95)
    found = BroydenSolver(history=20, tolerance=1e-10).solve(f, torch.zeros_like(exact), 15)
    torch.testing.assert_close(found.point, exact, rtol=1e-8, atol=1e-8)


def test_a_broyden_solver_begins_anew_when_its_memory_is_full():
    f, exact = linear_map(0.9)
    found = BroydenSolver(history=2, tolerance=1e-10).solve(f, torch.zeros_like(exact), 150)
    assert found.converged.all()
    torch.testing.assert_close(found.point, exact, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_solver_does_not_learn_from_rounding(kind, dtype):
    """Fails if it leaps to where numbers end, at which every residual is relatively small."""
    found = kind(tolerance=1e-6).solve(lambda z: z + 0.1, torch.linspace(0, 1, 7, dtype=dtype)[None], 60)
    assert found.point.abs().max() < 100
    assert not found.converged


def test_every_exported_solver_is_tested():
    exported = (getattr(truncation, name) for name in truncation.__all__)
    solvers = {kind for kind in exported if inspect.isclass(kind) and issubclass(kind, FixedPointSolver)}
    assert {kind for kind in solvers if not inspect.isabstract(kind)} == set(KINDS)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PicardSolver(damping=0.0), "damping above 0"),
        (lambda: AndersonSolver(damping=1.5), "damping above 0"),
        (lambda: PicardSolver(tolerance=-1.0), "tolerance"),
        (lambda: PicardSolver(check_every=-1), "check_every"),
        (lambda: AndersonSolver(history=0), "history to at least 1"),
        (lambda: AndersonSolver(ridge=-1.0), "ridge"),
        (lambda: BroydenSolver(history=0), "history to at least 1"),
        (lambda: BroydenSolver(absolute_tolerance=-1.0), "absolute_tolerance"),
    ],
)
def test_settings_out_of_range_are_refused(build, message):
    with pytest.raises(IncompatibleComponents, match=message):
        build()

"""Solvers are honest about any map: what they report is the residual of what they return."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from recurlight.truncation import AndersonSolver, BroydenSolver, PicardSolver

ROWS, FEATURES = 3, 4


@given(
    kind=st.sampled_from([PicardSolver, AndersonSolver, BroydenSolver]),
    gain=st.floats(0, 3),
    damping=st.floats(0.1, 1),
    tolerance=st.floats(1e-12, 0.5),
    steps=st.integers(1, 40),
    seed=st.integers(0, 1000),
    often=st.integers(0, 3),
)
def test_a_row_has_converged_or_is_said_not_to(kind, gain, damping, tolerance, steps, seed, often):
    """Fails if the last point is returned with the best residual, or the other way round."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(FEATURES, FEATURES, generator=generator, dtype=torch.float64)
    matrix = gain * matrix / torch.linalg.matrix_norm(matrix, 2)
    shift, start = torch.randn(2, ROWS, FEATURES, generator=generator, dtype=torch.float64)
    solver = kind(damping=damping, tolerance=tolerance, check_every=often)
    f = lambda z: z @ matrix.T + shift  # noqa: E731
    z, reported, taken, converged = solver.solve(f, start, steps)
    norm = lambda rows: torch.linalg.vector_norm(rows, dim=1)  # noqa: E731
    actual, first = (norm(f(x) - x) / norm(f(x)) for x in (z, start))
    torch.testing.assert_close(reported, actual, rtol=1e-6, atol=1e-14)
    assert (actual <= first + 1e-14).all()
    assert (reported[converged] <= tolerance).all()
    assert ((taken == steps) | (converged & (taken < steps))).all()
    if gain < 0.5 and steps == 40 and damping > 0.5 and tolerance > 1e-4:
        assert converged.all()

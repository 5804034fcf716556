"""Solvers find the fixed points of 100 contractions, as others do, and never claim one where there is none.

Those of torchdeq 0.1.0 and of `scipy.optimize` were computed once, by `tests/golden/make_fixed_points.py`:
neither is a dependency.
"""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path

import pytest
import torch

from recurlight.truncation import AndersonSolver, BroydenSolver, PicardSolver, Solution

from .maps import CONTRACTIONS, FEATURES, ROWS, WITHOUT_FIXED_POINT, uniform

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "fixed_points.json").read_text())
SOLVERS = {
    "picard": PicardSolver,
    "damped picard": lambda **more: PicardSolver(damping=0.7, **more),
    "anderson": AndersonSolver,
    "broyden": BroydenSolver,
    "damped broyden": lambda **more: BroydenSolver(damping=0.7, **more),
}


def start(rows: int = ROWS, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.zeros(rows, FEATURES, dtype=dtype)


@pytest.fixture(scope="module")
def exact():
    """Fixed points by Newton's method, with the Jacobian in full."""
    found = {}
    for name, kind in CONTRACTIONS.items():
        f, z = kind(slice(None)), start()
        for _ in range(8):
            # Rows are apart, so the Jacobian of their sum has that of each, (F, B, F).
            jacobian = torch.func.jacrev(lambda z, f=f: f(z).sum(0))(z).transpose(0, 1)
            z = z - torch.linalg.solve(jacobian - torch.eye(FEATURES, dtype=z.dtype), f(z) - z)
        found[name] = z
    return found


@functools.cache
def ours(kind: str, name: str) -> Solution:
    return SOLVERS[name](tolerance=1e-9, check_every=1).solve(CONTRACTIONS[kind](slice(None)), start(), 600)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("kind", CONTRACTIONS)
def test_contractions_are_solved(kind, name, exact):
    found = ours(kind, name)
    assert found.converged.all()
    torch.testing.assert_close(found.point, exact[kind], rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", sorted(GOLDEN["points"]["linear"]))
@pytest.mark.parametrize("kind", CONTRACTIONS)
def test_others_find_the_same(kind, method):
    theirs = torch.tensor(GOLDEN["points"][kind][method], dtype=torch.float64)
    for name in SOLVERS:
        torch.testing.assert_close(
            ours(kind, name).point, theirs, rtol=0, atol=1e-5, msg=f"{name} and {method} differ"
        )


def test_the_others_are_those_that_the_docstring_names():
    assert GOLDEN["versions"]["torchdeq"] == "0.1.0"
    assert len(WITHOUT_FIXED_POINT) == 20


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("kind", WITHOUT_FIXED_POINT)
def test_a_map_without_a_fixed_point_is_never_flagged_converged(kind, name, dtype):
    f = WITHOUT_FIXED_POINT[kind]
    points = torch.cat([start(1, dtype), torch.linspace(-1, 1, FEATURES).expand(1, -1), start(1) + 0.7]).to(
        dtype
    )
    found = SOLVERS[name](tolerance=1e-4, absolute_tolerance=1e-6).solve(
        lambda z: f(z.double()).to(dtype), points, 100
    )
    assert not found.converged.any()
    assert (found.steps == 100).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_a_map_that_expands_is_flagged_only_at_its_fixed_point(name):
    """Anderson's and Broyden's methods may find it; plain steps never do."""
    matrices = torch.stack(
        [scale * torch.eye(FEATURES, dtype=torch.float64) for scale in (-3.0, 1.5, 2.0, 10.0)]
    )
    f = lambda z: (matrices @ z[:, :, None])[:, :, 0] + 1  # noqa: E731
    found = SOLVERS[name](tolerance=1e-9).solve(f, start(4), 60)
    wanted = torch.linalg.solve(torch.eye(FEATURES, dtype=torch.float64) - matrices, start(4) + 1)
    near = torch.isclose(found.point, wanted, rtol=1e-6).all(1)
    assert torch.equal(found.converged, near)
    assert "picard" not in name or not found.converged.any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", SOLVERS)
def test_maps_that_shift_along_one_direction_do_not_pass_for_converged_far_out(name, dtype):
    """Fails if a relatively small residual is enough: a step as good as Newton's leaps to where all are."""
    generator = random.Random(3)
    basis = torch.eye(FEATURES, dtype=torch.float64) + 0.4 * uniform(generator, ROWS, FEATURES, FEATURES)
    values = 0.8 * uniform(generator, ROWS, FEATURES)
    values[:, 0] = 1.0
    matrices = basis @ torch.diag_embed(values) @ torch.linalg.inv(basis)
    # As far as in any other direction: less than a hundredth would pass for convergence to this tolerance.
    shifts = (basis @ torch.ones(FEATURES, 1, dtype=torch.float64))[:, :, 0]
    found = SOLVERS[name](tolerance=1e-4).solve(
        lambda z: ((matrices @ z.double()[:, :, None])[:, :, 0] + shifts).to(dtype), start(dtype=dtype), 100
    )
    assert not found.converged.any()
    assert "picard" in name or (found.residual < 1e-4).any()

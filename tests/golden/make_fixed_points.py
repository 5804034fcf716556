"""Solve the contractions of the tests by torchdeq and scipy, which are no dependencies:

    python tests/golden/make_fixed_points.py

`fixed_points.json` then holds the fixed points of all rows by kind of map and method, and the versions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.append(str(Path(__file__).parent.parent))
from truncation.maps import CONTRACTIONS, FEATURES, ROWS

STEPS, TOLERANCE = 2000, 1e-10
Kind = Callable[[slice], Callable[[Tensor], Tensor]]


def by_torchdeq(solver: str, kind: Kind) -> Tensor:
    """Solve all rows at once."""
    from torchdeq import get_deq  # here, so that the tests need neither library

    deq = get_deq(f_solver=solver, f_max_iter=STEPS, f_tol=TOLERANCE, f_stop_mode="abs").eval()
    with torch.no_grad():
        found, info = deq(kind(slice(None)), torch.zeros(ROWS, FEATURES, dtype=torch.float64))
    assert info["abs_lowest"].max() < 1e-8, (solver, info["abs_lowest"])
    return found[-1]


def by_scipy(method: str, kind: Kind) -> Tensor:
    """Solve row by row."""
    from scipy import optimize

    rows = []
    for row in range(ROWS):
        f = kind(slice(row, row + 1))

        def residual(z: np.ndarray, f: Callable[[Tensor], Tensor] = f) -> np.ndarray:
            point = torch.from_numpy(z)[None]
            return (f(point) - point)[0].numpy()

        options = {"maxiter": STEPS, "fatol": TOLERANCE} if method != "hybr" else None
        found = optimize.root(residual, np.zeros(FEATURES), method=method, tol=TOLERANCE, options=options)
        assert np.abs(residual(found.x)).max() < 1e-8, (method, row, found.message)
        rows.append(torch.from_numpy(found.x))
    return torch.stack(rows)


def main() -> None:
    """Write the file."""
    points = {
        name: {
            **{f"torchdeq {s}": by_torchdeq(s, kind) for s in ("fixed_point_iter", "anderson", "broyden")},
            **{f"scipy {method}": by_scipy(method, kind) for method in ("anderson", "broyden1", "hybr")},
        }
        for name, kind in CONTRACTIONS.items()
    }
    plain = {
        kind: {
            method: [[round(x, 8) for x in row] for row in rows.tolist()] for method, rows in found.items()
        }
        for kind, found in points.items()
    }
    versions = {name: version(name) for name in ("torch", "torchdeq", "scipy")}
    file = Path(__file__).with_name("fixed_points.json")
    file.write_text(json.dumps({"versions": versions, "points": plain}) + "\n")


if __name__ == "__main__":
    main()

"""Checks of a cell: the network of one update."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from recurlight.halting import CorrectnessHalting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import SingleRefiner
from recurlight.testing.refiner import CHECKS as REFINER_CHECKS
from recurlight.testing.report import Findings, expect, run
from recurlight.testing.task import TINY, Make, require_drawn_by_seed
from recurlight.truncation import EveryUpdate
from recurlight.types import Sizes

__all__ = ["check_cell"]

ROWS = 4


class _Changing(SingleRefiner):
    """Lets a cell draw, as one with dropout does."""

    stationary = False


def check_cell(
    build: Callable[[], nn.Module],
    *,
    sizes: Sizes = TINY,
    exclude: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Findings:
    """Check a cell of yours by what recurlight promises of its own, in a few seconds on a CPU.

    | check | what must hold |
    | --- | --- |
    | `composes` | a refiner around it is accepted |
    | `shape` | `(B, N, D)` in, the same shape and dtype out, in float32, float64 and under bfloat16 |
    | `weights` | a `Sized` cell draws its weights from the generator that `build` gets, and nowhere else |

    and `rows`, `randomness`, `gradients`, `bfloat16`, `checkpoint`, `resume`, `copy` and `compile` as in
    `check_refiner`, of a refiner with one level that applies it.

    Args:
        build: Makes a new cell: a class, or a function without arguments.
        sizes: Sizes of the task, for cells that need their own.
        exclude: Checks to leave out, each with its reason.
        raises: Raise what was found, in place of returning it.

    Returns:
        What each check found: None, or a message.

    Raises:
        ContractError: A check found something and `raises` is set.

    Example:
        >>> from recurlight import MixerCell
        >>> check_cell(lambda: MixerCell(1), exclude={"compile": "takes seconds"})["shape"]
    """

    def make(seed: int = 0) -> Recursion:
        refiner = _Changing(build())
        parts = (EveryUpdate(), CorrectnessHalting())
        return Recursion(sizes, refiner, *parts, cycles=3, max_segments=3, seed=seed)

    own = {"composes": partial(_composes, build, make), "shape": partial(_shape, make)}
    weights = {"weights": partial(require_drawn_by_seed, make, lambda recursion: recursion.refiner)}
    rest = {name: partial(check, make) for name, check in REFINER_CHECKS.items() if name != "stationary"}
    return run("the cell", {**own, **weights, **rest}, exclude, raises)


def _composes(build: Callable[[], nn.Module], make: Make) -> None:
    expect(build() is not build(), "give a function that makes a new cell at every call, not the same one")
    make()


def _shape(make: Make) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        recursion = make()
        low = dtype == torch.bfloat16
        (cell,) = dict.fromkeys(recursion.refiner.cells().values())
        cell = cell if low else cell.to(dtype)
        x = torch.linspace(-1, 1, ROWS * recursion.sizes.positions * recursion.sizes.width, dtype=dtype)
        x = x.view(ROWS, recursion.sizes.positions, recursion.sizes.width)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            y = cell(x)
        expect(
            y.shape == x.shape and y.dtype == dtype,
            f"{tuple(x.shape)} {dtype} becomes {tuple(y.shape)} {y.dtype}: keep shape and dtype"
            + (", also under autocast" if low else ""),
        )

"""Compiled cells: the part that runs again and again, without the loop around it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from weakref import WeakSet

import torch
from torch import nn

from recurlight.refiners.base import Refiner
from recurlight.spec.given import checked

__all__ = ["compile_cells", "uncompiled"]

_COMPILED: WeakSet[nn.Module] = WeakSet()


@checked
def compile_cells(refiner: Refiner[Any], backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile each cell of a refiner in place, a shared one once and none a second time.

    The loop over updates stays in Python, so one graph serves any number of cycles. A cell that cannot be
    compiled as one graph, or that needs more graphs than `torch._dynamo.config.recompile_limit`, raises;
    nothing falls back to eager execution unheard.

    Args:
        refiner: Supplies the cells; their weights keep their names.
        backend: Any of `torch.compiler.list_backends()`, or what torch takes in place of a name.

    Example:
        >>> from recurlight import SingleRefiner
        >>> compile_cells(SingleRefiner(nn.Tanh()), backend="eager")
    """
    for cell in refiner.cells().values():
        if cell not in _COMPILED:
            cell.compile(backend=backend, fullgraph=True)
            _COMPILED.add(cell)


def uncompiled(refiner: Refiner[Any]) -> AbstractContextManager[Any]:
    """Run the cells of a refiner as they are written: what is tried once needs no graphs.

    Args:
        refiner: Supplies the cells.
    """
    if not any(cell in _COMPILED for cell in refiner.cells().values()):
        return nullcontext()  # the other way round it would load the compiler
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance

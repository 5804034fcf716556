"""Every exported refiner with every exported cell that looks at nothing ahead; new ones join unasked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, get_type_hints

import torch
from cells.test_contract import BUILT
from helpers import SIZES as BOUND
from helpers import bound, causal, seeded
from torch import Tensor, nn

from recurlight import draw, refiners
from recurlight.cells.memory import Memory, remembering
from recurlight.halting import FixedHalting
from recurlight.recursion.driver import Recursion
from recurlight.recursion.generation import piece_told
from recurlight.refiners import AddedInjection, InjectedRefiner, Injection, Refiner, SingleRefiner
from recurlight.truncation import EveryUpdate
from recurlight.types import Batch, Sizes

SIZES = Sizes(vocab=9, tokens=12, width=16)


def looks_ahead(cell: nn.Module) -> bool:
    """Tell by trying whether what a bound cell says of a position depends on those after it."""
    x = torch.randn(1, BOUND.positions, BOUND.width, generator=seeded(1))
    y, half = cell(x), BOUND.positions // 2
    other = torch.cat([x[:, :half], torch.randn(x[:, half:].shape, generator=seeded(2))], dim=1)
    return not torch.equal(cell(other)[:, :half], y[:, :half])


CELLS = {name: build for name, build in BUILT.items() if not looks_ahead(bound(build()))}


def concrete(kind: type) -> list[type]:
    exported = [getattr(refiners, name) for name in refiners.__all__]
    return [one for one in exported if issubclass(one, kind) and not inspect.isabstract(one)]


def made(kind: type, cell: Callable[[], nn.Module], optional: bool = False, **given: Any) -> Refiner:
    """Make a refiner from its signature alone: each network is `cell()`, also those that it need not have."""
    fill: dict[Any, Callable[[], Any]] = {
        nn.Module: cell,
        Injection: AddedInjection,
        Refiner: lambda: SingleRefiner(cell()),
    }
    if optional:
        fill[nn.Module | None] = cell
    hints = get_type_hints(kind.__init__)
    for name, parameter in inspect.signature(kind).parameters.items():
        needed = optional or parameter.default is parameter.empty
        if needed and hints[name] in fill and name not in given:
            given[name] = fill[hints[name]]()
    return kind(**given)


REFINERS: dict[str, Callable[[Callable[[], nn.Module]], Refiner]] = {
    **{kind.__name__: partial(made, kind) for kind in concrete(Refiner)},
    **{f"{kind.__name__}, all networks": partial(made, kind, optional=True) for kind in concrete(Refiner)},
    **{
        kind.__name__: lambda cell, kind=kind: made(InjectedRefiner, cell, inject=kind(), sigma=0.6)
        for kind in concrete(Injection)
    },
}


def model(
    refiner: Refiner, dtype: torch.dtype = torch.float64, halting: Any = None, **settings: Any
) -> Recursion:
    settings = {"cycles": 2, "max_segments": 3, "seed": 1, "sizes": SIZES} | settings
    sizes, truncation = settings.pop("sizes"), settings.pop("truncation", EveryUpdate())
    return Recursion(sizes, refiner, truncation, halting or FixedHalting(), **settings).to(dtype)


def usual(cell: Callable[[], nn.Module] = causal, **settings: Any) -> Recursion:
    return model(SingleRefiner(cell()), **settings)


def asked(text: Tensor) -> Batch:
    return Batch(text, text, text[:, 0] * 0)


def whole(recursion: Recursion, text: Tensor, segments: int = 3) -> Tensor:
    """Return the logits of a text that is read at once, `(B, L, V)`; nothing is drawn."""
    with draw.still():
        return recursion.solve(asked(text), segments, adaptive=False).logits


@torch.no_grad()
def in_pieces(
    recursion: Recursion, text: Tensor, cuts: Sequence[int], segments: int = 3, memory: Memory | None = None
) -> Tensor:
    """Return the logits of a text that is read piece by piece, from each cut to the next."""
    memory, parts = Memory() if memory is None else memory, []
    for first, last in pairwise(cuts):
        batch = asked(text[:, first:last])
        with piece_told(recursion, memory.length, last - first), draw.still():
            carry = recursion.start(batch)
            for _ in range(segments):
                with remembering(recursion, memory):
                    carry, segment, _ = recursion.segment(carry, batch)
        memory.keep()
        parts.append(segment.logits)
    return torch.cat(parts, dim=1)

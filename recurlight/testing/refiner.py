"""Checks of a refiner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from recurlight.draw.seeding import seed_batch
from recurlight.halting import CorrectnessHalting
from recurlight.recursion.compile import compile_cells
from recurlight.recursion.driver import Recursion
from recurlight.refiners.base import Refiner
from recurlight.testing.report import Findings, expect, run
from recurlight.testing.task import (
    TINY,
    Make,
    answer,
    close,
    copied,
    gradients,
    questions,
    reloaded,
    require_no_memory,
    require_repeatable,
    require_slots,
    resumed,
    rows_apart,
)
from recurlight.truncation import EveryUpdate, GradientTruncation
from recurlight.types import Sizes

__all__ = ["CHECKS", "check_refiner"]


def check_refiner(
    build: Callable[[], Refiner[Any]],
    *,
    truncation: GradientTruncation | None = None,
    sizes: Sizes = TINY,
    exclude: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Findings:
    """Check a refiner of yours by what recurlight promises of its own, in a few seconds on a CPU.

    | check | what must hold |
    | --- | --- |
    | `composes` | `Recursion` accepts it |
    | `rows` | no row changes when other rows are left out |
    | `stationary` | the cycle is the same map every time, or `stationary = False` |
    | `randomness` | a step is the same again under the same seed of the global generators |
    | `slots` | what a row draws is the same on two ranks, and when other rows have left |
    | `gradients` | every weight gets a finite gradient |
    | `bfloat16` | so it does under autocast, and each update and its gradients are about the same |
    | `checkpoint` | a new one with the saved weights gives the same answer |
    | `resume` | training that is resumed goes on bit for bit |
    | `copy` | a deep copy gives the same answer |
    | `compile` | compiled cells give the same answer, and no new graphs for other numbers of cycles |

    Args:
        build: Makes a new refiner: a class, or a function without arguments.
        truncation: Which updates carry gradient; None for `EveryUpdate()`.
        sizes: Sizes of the task, for cells that need their own.
        exclude: Checks to leave out, each with its reason.
        raises: Raise what was found, in place of returning it.

    Returns:
        What each check found: None, or a message.

    Raises:
        ContractError: A check found something and `raises` is set.

    Example:
        >>> from recurlight import MixerCell, SingleRefiner
        >>> check_refiner(lambda: SingleRefiner(MixerCell(1)), exclude={"compile": "takes seconds"})["rows"]
    """
    policy = truncation or EveryUpdate()

    def make(seed: int = 0) -> Recursion:
        refiner = build()
        halting = CorrectnessHalting()
        return Recursion(sizes, refiner, policy, halting, cycles=3, max_segments=3, seed=seed)

    checks = {name: partial(check, make) for name, check in CHECKS.items()}
    return run("the refiner", {"composes": partial(_composes, build, make), **checks}, exclude, raises)


def _composes(build: Callable[[], Refiner[Any]], make: Make) -> None:
    expect(build() is not build(), "give a function that makes a new refiner at every call, not the same one")
    make()


def _rows(make: Make) -> None:
    recursion = make().double()
    batch, other = (questions(recursion.sizes, seed=seed) for seed in range(2))
    expect(
        rows_apart(lambda asked: answer(recursion, asked, 1).answer, batch, other),
        "rows change when other rows are left out: let no update mix rows (batch norm, a mean over axis 0)",
    )


def _stationary(make: Make) -> None:
    recursion = make()
    refiner, batch = recursion.refiner, questions(recursion.sizes)
    with torch.no_grad():
        injection = recursion.encoder(batch.inputs, batch.task)
        state = refiner.initial_state(injection)
        seed_batch(0, 0)
        first, second = (refiner.cycle(state, injection) for _ in range(2))
    same = all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    expect(
        same or not refiner.stationary,
        "the cycle gives another result the second time: set stationary = False in the class, "
        "or keep what changes in the state; noise and dropout are no stationary map either",
    )


def _randomness(make: Make) -> None:
    recursion = make()
    require_repeatable(recursion, questions(recursion.sizes))


def _slots(make: Make) -> None:
    recursion = make().double()
    require_slots(lambda asked: answer(recursion, asked, 1).answer, questions(recursion.sizes))


def _gradients(make: Make) -> None:
    recursion = make()
    _require_finite(gradients(recursion, questions(recursion.sizes)))


def _bfloat16(make: Make) -> None:
    recursion = make()
    batch, refiner = questions(recursion.sizes), recursion.refiner
    with _autocast():
        _require_finite(gradients(recursion, batch))
    injection = recursion.encoder(batch.inputs, batch.task).detach()
    with torch.no_grad():
        state = refiner.initial_state(injection)
    # One update at a time, from the same state: over many, an untrained recursion amplifies any rounding.
    for number, level in enumerate(refiner.schedule()):
        exact = _update(refiner, state, injection, level)
        with _autocast():
            low = [leaf.bfloat16() if leaf.is_floating_point() else leaf for leaf in state]
            rough = _update(refiner, type(state)(*low), injection.bfloat16(), level)
        _require_alike(exact, rough, f"update {number} of a cycle, of '{level}'")
        state = state._replace(**{level: exact[level].detach()})


def _autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, cache_enabled=False)


def _update(refiner: Refiner[Any], state: Any, injection: Tensor, level: str) -> dict[str, Tensor]:
    """Return what one update makes of a level, by its name, and the gradients of what it is made from."""
    leaves = {**dict(zip(state._fields, state, strict=True)), "the question": injection}
    floating = {k: v.detach().requires_grad_() for k, v in leaves.items() if v.is_floating_point()}
    seed_batch(0, 0)
    given = type(state)(*(floating.get(name, leaf) for name, leaf in zip(state._fields, state, strict=True)))
    made: Tensor = getattr(refiner.update(given, floating["the question"], level), level)
    sources = floating | {name: w for name, w in refiner.named_parameters() if w.requires_grad}
    pull = torch.randn(made.shape, generator=torch.Generator().manual_seed(0)).to(made.dtype)
    found = torch.autograd.grad(made, list(sources.values()), pull, allow_unused=True)
    grads = {f"the gradient of {k}": g for k, g in zip(sources, found, strict=True) if g is not None}
    return {level: made, **grads}


def _require_alike(exact: Mapping[str, Tensor], rough: Mapping[str, Tensor], where: str) -> None:
    for name, wanted in exact.items():
        found = rough.get(name, torch.zeros_like(wanted))
        cosine = torch.cosine_similarity(found.flatten().float(), wanted.flatten(), dim=0)
        expect(
            bool(cosine > 0.95) or not wanted.any(),
            f"under bfloat16 {name} points elsewhere in {where} (cosine {cosine:.2f} to float32): "
            "compute what needs precision in float32",
        )


def _require_finite(found: Mapping[str, Tensor | None]) -> None:
    missing = [name for name, gradient in found.items() if gradient is None]
    expect(
        not missing,
        f"{', '.join(missing)} gets no gradient: use it in an update, or set requires_grad to False",
    )
    wild = [
        name for name, gradient in found.items() if gradient is not None and not gradient.isfinite().all()
    ]
    expect(not wild, f"the gradient of {', '.join(wild)} is not finite")


def _checkpoint(make: Make) -> None:
    first, second = make(), make(seed=1)
    second.load_state_dict(reloaded(first.state_dict()))
    batch = questions(first.sizes)
    expect(
        torch.equal(answer(first, batch).logits, answer(second, batch).logits),
        "a new one with the saved weights answers differently: make every tensor a parameter or a buffer",
    )


def _resume(make: Make) -> None:
    first = make()
    batch = questions(first.sizes)
    require_no_memory(first.refiner, lambda: gradients(first, batch))
    first = make()
    expect(
        resumed(first, make(seed=1), batch),
        "training that is resumed goes on differently: keep nothing outside the weights and the state",
    )


def _copy(make: Make) -> None:
    recursion = make()
    batch = questions(recursion.sizes)
    expect(
        torch.equal(answer(copied(recursion), batch).logits, answer(recursion, batch).logits),
        "a deep copy answers differently: averaging of weights needs one",
    )


def _compile(make: Make) -> None:
    eager, compiled = make().double(), make().double()
    compiled.load_state_dict(eager.state_dict())  # a cell may have drawn its weights elsewhere
    batch = questions(eager.sizes)
    torch._dynamo.reset()
    try:
        compile_cells(compiled.refiner, "aot_eager")
        same = close(answer(compiled, batch).logits, answer(eager, batch).logits)
        expect(same, "compiled cells answer differently")
        with torch.no_grad():
            answer(compiled, batch, 2)
            with torch._dynamo.config.patch(error_on_recompile=True):
                for cycles in (1, 3, 5):
                    answer(compiled, batch, cycles)
    finally:
        torch._dynamo.reset()


CHECKS = {  # of any composition, so that the checks of cells and codecs share them
    "rows": _rows,
    "stationary": _stationary,
    "randomness": _randomness,
    "slots": _slots,
    "gradients": _gradients,
    "bfloat16": _bfloat16,
    "checkpoint": _checkpoint,
    "resume": _resume,
    "copy": _copy,
    "compile": _compile,
}

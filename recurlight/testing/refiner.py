"""Checks of a refiner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from recurlight import slots
from recurlight.callbacks.compile import compile_cells
from recurlight.halting import CorrectnessHalting
from recurlight.recursion import Recursion
from recurlight.refiners.base import Refiner
from recurlight.testing.report import Findings, expect, run
from recurlight.testing.task import (
    TINY,
    answer,
    close,
    copied,
    gradients,
    questions,
    random_state_kept,
    reloaded,
    resumed,
)
from recurlight.truncation import EveryUpdate, GradientTruncation
from recurlight.types import Sizes

__all__ = ["check_refiner"]

Make = Callable[..., Recursion]
"""Makes a composition around a new refiner; its weights depend on the keyword `seed`."""


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
    | `randomness` | nothing is drawn from the global random state |
    | `gradients` | every weight gets a finite gradient |
    | `bfloat16` | so it does under autocast, about the same one |
    | `checkpoint` | a new one with the saved weights gives the same answer |
    | `resume` | training that is resumed goes on bit for bit |
    | `copy` | a deep copy gives the same answer |
    | `compile` | compiled cells give the same answer, and no new graphs for other numbers of cycles |

    Args:
        build: Makes a new refiner: a class, or a function without arguments.
        truncation: Which updates carry gradient; None for `EveryUpdate()`.
        sizes: Sizes of the task, for cells that insist on theirs.
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

    checks = {name: partial(check, make) for name, check in _CHECKS.items()}
    return run("the refiner", {"composes": partial(_composes, build, make), **checks}, exclude, raises)


def _composes(build: Callable[[], Refiner[Any]], make: Make) -> None:
    expect(build() is not build(), "give a function that makes a new refiner at every call, not the same one")
    make()


def _rows(make: Make) -> None:
    recursion = make().double()
    batch, some = questions(recursion.sizes), torch.tensor([2, 1])
    whole, part = answer(recursion, batch, 1).answer, answer(recursion, slots.take(some, batch), 1).answer
    expect(
        close(part, whole[some]),
        "rows change when other rows are left out: let no update mix rows (batch norm, a mean over axis 0)",
    )


def _stationary(make: Make) -> None:
    recursion = make()
    refiner, batch = recursion.refiner, questions(recursion.sizes)
    with torch.no_grad():
        injection = recursion.encoder(batch.inputs, batch.task)
        state = refiner.initial_state(injection)
        first, second = (refiner.cycle(state, injection) for _ in range(2))
    same = all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    expect(
        same or not refiner.stationary,
        "the cycle gives another result the second time: set stationary = False in the class, "
        "or keep what changes in the state",
    )


def _randomness(make: Make) -> None:
    recursion = make()
    random_state_kept(recursion, questions(recursion.sizes))


def _gradients(make: Make) -> None:
    recursion = make()
    _require_finite(gradients(recursion, questions(recursion.sizes)))


def _bfloat16(make: Make) -> None:
    recursion = make()
    batch = questions(recursion.sizes)
    exact = gradients(recursion, batch)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        rough = gradients(recursion, batch)
    _require_finite(rough)
    for name, gradient in rough.items():
        other = exact[name]
        assert gradient is not None
        assert other is not None
        cosine = torch.cosine_similarity(gradient.flatten(), other.flatten(), dim=0)
        expect(
            bool(cosine > 0.9) or not other.any(),
            f"under bfloat16 the gradient of {name} points elsewhere (cosine {cosine:.2f} to float32): "
            "compute what needs precision in float32",
        )


def _require_finite(found: Mapping[str, torch.Tensor | None]) -> None:
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
    expect(
        resumed(first, make(seed=1), questions(first.sizes)),
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


_CHECKS = {
    "rows": _rows,
    "stationary": _stationary,
    "randomness": _randomness,
    "gradients": _gradients,
    "bfloat16": _bfloat16,
    "checkpoint": _checkpoint,
    "resume": _resume,
    "copy": _copy,
    "compile": _compile,
}

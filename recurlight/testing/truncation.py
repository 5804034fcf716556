"""Checks of a gradient truncation."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from recurlight.cells import MixerCell
from recurlight.draw.seeding import seed_batch
from recurlight.halting import FixedHalting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import Refiner, TwoLevelRefiner
from recurlight.testing.report import Findings, expect, run
from recurlight.testing.task import TINY, questions, require_no_memory, require_slots, resumed, rows_apart
from recurlight.truncation.base import GradientTruncation

__all__ = ["check_truncation"]


def check_truncation(
    policy: GradientTruncation,
    *,
    build: Callable[[], Refiner[Any]] | None = None,
    cycles: int = 6,
    exclude: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Findings:
    """Check a gradient truncation of yours by what recurlight promises of its own, in a second on a CPU.

    | check | what must hold |
    | --- | --- |
    | `composes` | `Recursion` accepts it with the refiner and the cycles |
    | `modes` | it never enables gradient, and leaves the mode as it was |
    | `value` | the state after a segment does not depend on whether gradient is recorded |
    | `state` | type, shapes and dtypes of the state stay, also under bfloat16 |
    | `rows` | no row changes when other rows are left out |
    | `slots` | what is drawn, a window or noise, is the same on two ranks, and when other rows have left |
    | `gradients` | every weight and the question get a finite gradient |
    | `budget` | no more updates are made than the cycles have |
    | `memory` | neither a segment nor its gradients depend on the segments before; nothing counts them |
    | `resume` | training that is resumed goes on bit for bit |
    | `copy` | pickled and read back it does the same |

    Args:
        policy: What to check.
        build: Makes a refiner to run it on; None for one with two levels that share a cell.
        cycles: Cycles in a segment.
        exclude: Checks to leave out, each with its reason.
        raises: Raise what was found, in place of returning it.

    Returns:
        What each check found: None, or a message.

    Raises:
        ContractError: A check found something and `raises` is set.

    Example:
        >>> from recurlight import LastCycles
        >>> check_truncation(LastCycles(2))["budget"]
    """
    make = build or (lambda: TwoLevelRefiner(MixerCell(1, multiple=32), latent_steps=2))
    checks = {name: partial(check, policy, make, cycles) for name, check in _CHECKS.items()}
    return run(repr(policy), checks, exclude, raises)


class _Bench:
    """A refiner in a composition, with a question and a state on entry.

    Args:
        policy: Put into the composition.
        make: Makes the refiner.
        cycles: Cycles in a segment.
        dtype: Of weights, question and state.
    """

    def __init__(
        self,
        policy: GradientTruncation,
        make: Callable[[], Refiner[Any]],
        cycles: int,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        recursion = Recursion(TINY, make(), policy, FixedHalting(), cycles=cycles, max_segments=1).to(dtype)
        self.refiner, self.cycles = recursion.refiner, cycles
        batch = questions(TINY)
        with torch.no_grad():
            self.question = recursion.encoder(batch.inputs, batch.task)
            self.start = self.refiner.initial_state(self.question)

    def run(self, policy: GradientTruncation, question: Tensor | None = None) -> Any:
        """Apply the policy to the segment, under the seed of one batch."""
        asked = self.question if question is None else question
        seed_batch(0, -1)
        return policy.run(self.refiner, self.start, asked, self.cycles)

    def learnt(self, policy: GradientTruncation) -> tuple[Tensor | None, ...]:
        """Apply the policy and return the state, and the gradients of the question and of the weights."""
        question, weights = self.question.clone().requires_grad_(), list(self.refiner.parameters())
        end = self.run(policy, question)
        sources = [question, *(weight for weight in weights if weight.requires_grad)]
        return (*end, *torch.autograd.grad(end.answer.square().sum(), sources, allow_unused=True))


Make = Callable[[], Refiner[Any]]


def _composes(policy: GradientTruncation, make: Make, cycles: int) -> None:
    _Bench(policy, make, cycles)


def _modes(policy: GradientTruncation, make: Make, cycles: int) -> None:
    bench = _Bench(policy, make, cycles)
    question = bench.question.clone().requires_grad_()
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            end = bench.run(policy, question)
            kept = not torch.is_grad_enabled()
        expect(
            kept and not any(leaf.requires_grad for leaf in end),
            "it records gradient although the caller disabled it: only ever disable gradient, "
            "torch.set_grad_enabled(torch.is_grad_enabled() and ...)",
        )
    bench.run(policy, question)
    expect(torch.is_grad_enabled(), "it leaves gradient disabled: use torch.no_grad() as a context")


def _value(policy: GradientTruncation, make: Make, cycles: int) -> None:
    bench = _Bench(policy, make, cycles)
    recorded = bench.run(policy, bench.question.clone().requires_grad_())
    with torch.no_grad():
        plain = bench.run(policy)
    expect(_equal(recorded, plain), "evaluation computes another state than training: apply the same updates")


def _state(policy: GradientTruncation, make: Make, cycles: int) -> None:
    for dtype in (torch.float64, torch.float32):
        bench = _Bench(policy, make, cycles, dtype)
        _require_alike(bench.run(policy), bench.start)
    bench.question = bench.question.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        bench.start = bench.refiner.initial_state(bench.question)
        _require_alike(bench.run(policy), bench.start)


def _require_alike(end: Any, start: Any) -> None:
    kinds = [[(leaf.shape, leaf.dtype) for leaf in state] for state in (end, start)]
    expect(
        type(end) is type(start) and kinds[0] == kinds[1],
        f"it returns a {type(end).__name__} of {kinds[0]} for a {type(start).__name__} of {kinds[1]}: "
        "keep type, shapes and dtypes of the state",
    )


def _rows(policy: GradientTruncation, make: Make, cycles: int) -> None:
    bench = _Bench(policy, make, cycles)

    def end(tree: tuple[Any, Tensor]) -> Tensor:
        bench.start, question = tree
        with torch.no_grad():
            answer: Tensor = bench.run(policy, question).answer
        return answer

    # A hundred times looser than one update: the segment amplifies what rounding adds in other batch sizes.
    apart = rows_apart(end, (bench.start, bench.question), (bench.start, -bench.question), 1e-7)
    expect(apart, "rows change when other rows are left out or hold something else: treat each row alone")


def _slots(policy: GradientTruncation, make: Make, cycles: int) -> None:
    bench = _Bench(policy, make, cycles)

    def learnt(tree: tuple[Any, Tensor]) -> Tensor:
        bench.start, question = tree[0], tree[1].clone().requires_grad_()
        answer = bench.run(policy, question).answer
        (gradient,) = torch.autograd.grad(answer.square().sum(), question, materialize_grads=True)
        return torch.cat([answer.detach(), gradient], dim=1)

    require_slots(learnt, (bench.start, bench.question), 1e-7)


def _gradients(policy: GradientTruncation, make: Make, cycles: int) -> None:
    bench = _Bench(policy, make, cycles)
    question = bench.question.clone().requires_grad_()
    bench.run(policy, question).answer.square().sum().backward()
    leaves = {"the question": question, **dict(bench.refiner.named_parameters())}
    for name, leaf in leaves.items():
        expect(
            leaf.grad is not None or not leaf.requires_grad,
            f"{name} gets no gradient: let check() refuse this composition, or record an update that uses it",
        )
        expect(leaf.grad is None or bool(leaf.grad.isfinite().all()), f"the gradient of {name} is not finite")


def _budget(policy: GradientTruncation, make: Make, cycles: int) -> None:
    bench = _Bench(policy, make, cycles)
    calls: list[int] = []
    for cell in dict.fromkeys(bench.refiner.cells().values()):
        cell.register_forward_hook(lambda *_: calls.append(1))
    bench.run(policy)
    most = cycles * len(bench.refiner.schedule())
    expect(len(calls) <= most, f"it makes {len(calls)} updates where {cycles} cycles have {most}")


def _memory(policy: GradientTruncation, make: Make, cycles: int) -> None:
    bench = _Bench(policy, make, cycles)
    first = bench.learnt(policy)
    bench.run(policy, -bench.question)
    for _ in range(3):
        expect(
            _equal(bench.learnt(policy), first),
            "a segment or its gradient depends on the ones before: keep nothing between runs, and draw by "
            "recurlight.draw, whose generators are seeded before every batch",
        )
    require_no_memory(policy, lambda: bench.learnt(policy))


def _resume(policy: GradientTruncation, make: Make, cycles: int) -> None:
    first, second = (
        Recursion(TINY, make(), copy.deepcopy(policy), FixedHalting(), cycles=cycles, max_segments=2)
        for _ in range(2)
    )
    expect(
        resumed(first, second, questions(TINY)),
        "training that is resumed goes on differently: keep nothing between runs",
    )


def _copy(policy: GradientTruncation, make: Make, cycles: int) -> None:
    bench = _Bench(policy, make, cycles)
    again = bench.run(pickle.loads(pickle.dumps(policy)))
    expect(_equal(again, bench.run(policy)), "pickled and read back it computes another state")


def _equal(one: Any, other: Any) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a is b if a is None or b is None else torch.equal(a, b) for a, b in pairs)


_CHECKS = {
    "composes": _composes,
    "modes": _modes,
    "value": _value,
    "state": _state,
    "rows": _rows,
    "slots": _slots,
    "gradients": _gradients,
    "budget": _budget,
    "memory": _memory,
    "resume": _resume,
    "copy": _copy,
}

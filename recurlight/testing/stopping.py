"""Checks of a stopping rule."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from recurlight.cells import MixerCell
from recurlight.errors import IncompatibleComponents
from recurlight.halting import CorrectnessHalting
from recurlight.halting.base import Halting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import TwoLevelRefiner
from recurlight.stopping import Seen, Stopping
from recurlight.testing.report import Findings, expect, run
from recurlight.testing.task import TINY, questions, require_no_memory
from recurlight.truncation import EveryUpdate
from recurlight.types import Segment

__all__ = ["check_stopping"]

ROWS, CAP = 6, 5

Build = Callable[[], Stopping]


def check_stopping(
    build: Build,
    *,
    halting: Callable[[], Halting] = CorrectnessHalting,
    exclude: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Findings:
    """Check a stopping rule of yours by what recurlight promises of its own, in a second on a CPU.

    | check | what must hold |
    | --- | --- |
    | `composes` | its own check accepts the model |
    | `decision` | `(B,)` bool after every segment |
    | `rows` | no row is decided otherwise when other rows are left out |
    | `memory` | it keeps nothing from one evaluation to the next, nor of the sample before |
    | `solve` | rows get from one to all segments, and stay as they stopped |
    | `copy` | pickled and read back it decides the same |

    Args:
        build: Makes a new rule: a class, or a function without arguments.
        halting: Makes the policy of the model that it stops.
        exclude: Checks to leave out, each with its reason.
        raises: Raise what was found, in place of returning it.

    Returns:
        What each check found: None, or a message.

    Raises:
        ContractError: A check found something and `raises` is set.

    Example:
        >>> from recurlight import StableAnswer
        >>> check_stopping(StableAnswer)["rows"]
    """
    checks: dict[str, Callable[[], None]] = {
        "composes": lambda: build().check(halting(), TINY),
        "decision": partial(_decision, build),
        "rows": partial(_rows, build),
        "memory": partial(_memory, build),
        "solve": partial(_solve, build, halting),
        "copy": partial(_copy, build),
    }
    return run("the stopping rule", checks, exclude, raises)


def _trail(seed: int = 0) -> list[Seen]:
    """What a rule sees of rows that change less and less, of a judge that grows surer."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(ROWS, TINY.tokens, TINY.vocab, generator=generator)
    found = []
    for age in range(1, CAP + 1):
        logits = first + torch.randn(first.shape, generator=generator) * 2.0 ** -(4 * age)
        hidden = torch.randn(ROWS, TINY.positions, TINY.width, generator=generator)
        sure = torch.rand(ROWS, generator=generator) ** (1 / age)
        ages = torch.full((ROWS,), age, dtype=torch.int32)
        segment = Segment(hidden, hidden, logits * age**2)
        filled = torch.ones(ROWS, TINY.tokens, dtype=torch.bool)
        found.append(Seen(segment, logits.argmax(-1), sure > 0.5, sure, ages, filled))
    return found


def _taken(seen: Seen, rows: Tensor) -> Seen:
    segment, rest = seen[0], seen[1:]
    return Seen(Segment(*(leaf[rows] for leaf in segment)), *(leaf[rows] for leaf in rest))


def _decided(rule: Stopping, trail: list[Seen], memory: object = None) -> tuple[Tensor, object]:
    """Ask the rule about every segment, `(S, B)`."""
    found = []
    for seen in trail:
        stops, memory = rule.look(seen, memory)
        found.append(stops)
    return torch.stack(found), memory


def _decision(build: Build) -> None:
    stops, _ = build().look(_trail()[0], None)
    expect(
        stops.shape == (ROWS,) and stops.dtype == torch.bool,
        f"look returns {tuple(stops.shape)} {stops.dtype}: make it ({ROWS},) bool",
    )
    _decided(build(), _trail())


def _rows(build: Build) -> None:
    whole, _ = _decided(build(), _trail())
    for kept in torch.arange(ROWS).view(-1, 2):
        part, _ = _decided(build(), [_taken(seen, kept) for seen in _trail()])
        same = torch.equal(part, whole[:, kept])
        expect(same, "a row is decided otherwise when other rows are left out: look at each row alone")


def _memory(build: Build) -> None:
    rule = build()
    require_no_memory(rule, lambda: _decided(rule, _trail()))
    fresh, memory = _decided(rule, _trail())
    again, _ = _decided(rule, _trail(), memory)
    expect(
        torch.equal(fresh, again),
        "a row is decided by what is remembered of another sample: forget it where age is 1",
    )


def _solve(build: Build, halting: Callable[[], Halting]) -> None:
    refiner = TwoLevelRefiner(MixerCell(1, multiple=32), latent_steps=2)
    recursion = Recursion(TINY, refiner, EveryUpdate(), halting(), cycles=2, max_segments=CAP)
    whole = None
    for count, found in enumerate(
        recursion.unroll(questions(TINY, ROWS), stopping=build(), adaptive=True), 1
    ):
        inside = bool(((found.segments >= 1) & (found.segments <= count)).all())
        expect(inside, f"a sample got {found.segments.tolist()} segments of {count}")
        if whole is not None:
            left = found.segments < count
            expect(torch.equal(found.logits[left], whole[left]), "a row changed after it had stopped")
        whole = found.logits.clone()


def _copy(build: Build) -> None:
    rule = build()
    try:
        again = pickle.loads(pickle.dumps(rule))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise IncompatibleComponents(f"it cannot be pickled: {error}") from error
    same = torch.equal(_decided(rule, _trail())[0], _decided(again, _trail())[0])
    expect(same, "pickled and read back it decides otherwise")

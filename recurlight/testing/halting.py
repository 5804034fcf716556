"""Checks of a halting policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from recurlight.cells import MixerCell
from recurlight.draw.seeding import seed_batch
from recurlight.errors import IncompatibleComponents
from recurlight.halting.base import Halting
from recurlight.losses import StablemaxCrossEntropy
from recurlight.recursion.driver import Recursion
from recurlight.refiners import TwoLevelRefiner
from recurlight.stopping import AsTrained
from recurlight.testing.report import Findings, expect, run
from recurlight.testing.task import (
    TINY,
    Make,
    answer,
    copied,
    questions,
    reloaded,
    require_no_memory,
    require_repeatable,
    require_slots,
    resumed,
    rows_apart,
    train,
)
from recurlight.truncation import LastCycles
from recurlight.types import Outcome, Segment

__all__ = ["check_halting"]

ROWS, CAP = 6, 4
AGES = torch.arange(1, ROWS + 1, dtype=torch.int32)


def check_halting(
    build: Callable[[], Halting], *, exclude: Mapping[str, str] | None = None, raises: bool = True
) -> Findings:
    """Check a halting policy of yours by what recurlight promises of its own, in a second on a CPU.

    | check | what must hold |
    | --- | --- |
    | `composes` | `Recursion` accepts it |
    | `score` | `(B, K)`, float32 whatever the activations, float64 for a float64 model |
    | `decision` | `(B,)` bool without gradient; where it has `stopping`, that is above 0 where it halts |
    | `rows` | no row changes when other rows are left out |
    | `loss` | `(B,)`, finite, also for huge answers and for ones that do not move |
    | `gradients` | every weight gets a gradient in every training step |
    | `randomness` | a step is the same again under the same seed of the global generators |
    | `slots` | what a row draws is the same on two ranks, and when other rows have left |
    | `checkpoint` | a new one with the saved weights scores the same |
    | `resume` | training that is resumed goes on bit for bit |
    | `copy` | a deep copy scores the same |
    | `segments` | in training and in adaptive evaluation a sample gets from one to all segments |

    Args:
        build: Makes a new policy: a class, or a function without arguments.
        exclude: Checks to leave out, each with its reason.
        raises: Raise what was found, in place of returning it.

    Returns:
        What each check found: None, or a message.

    Raises:
        ContractError: A check found something and `raises` is set.

    Example:
        >>> from recurlight import CorrectnessHalting
        >>> check_halting(CorrectnessHalting)["segments"]
    """

    def make(seed: int = 0) -> Recursion:
        refiner = TwoLevelRefiner(MixerCell(1, multiple=32), latent_steps=2)
        settings = {"cycles": 2, "max_segments": CAP, "seed": seed}
        made = Recursion(TINY, refiner, LastCycles(1), build(), **settings)  # type: ignore[arg-type]
        return _opinionated(made, seed)

    checks = {name: partial(check, make) for name, check in _CHECKS.items()}
    return run("the halting policy", {"composes": partial(_composes, build, make), **checks}, exclude, raises)


def _opinionated(recursion: Recursion, seed: int) -> Recursion:
    """Draw the policy's weights, for a head that starts at zero scores every row the same."""
    generator = torch.Generator().manual_seed(seed + 1)
    for weight in recursion.halting.parameters():
        weight.data = torch.randn(weight.shape, generator=generator)
    return recursion


def _segment(recursion: Recursion, seed: int = 0) -> Segment:
    """What one segment computed, without its gradient."""
    with torch.no_grad():
        return answer(recursion, questions(TINY, ROWS, seed))


def _outcome(score: Tensor) -> Outcome:
    """Make an outcome in which right and wrong, and last and not, come in every combination."""
    number = torch.arange(ROWS)
    return Outcome(number % 2 == 0, number % 3 == 0, -score.detach())


def _composes(build: Callable[[], Halting], make: Make) -> None:
    expect(build() is not build(), "give a function that makes a new policy at every call, not the same one")
    make()


def _score(make: Make) -> None:
    for dtype, wanted in ((torch.bfloat16, torch.float32), (torch.float32, torch.float32)):
        policy, segment = make().halting, _segment(make())
        low = segment._replace(before=segment.before.to(dtype), answer=segment.answer.to(dtype))
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            _require_score(policy.score(low), wanted)
    wide = make().double()
    _require_score(wide.halting.score(_segment(wide)), torch.float64)


def _require_score(score: Tensor, wanted: torch.dtype) -> None:
    expect(
        score.ndim == 2 and len(score) == ROWS and score.dtype == wanted,
        f"score returns {tuple(score.shape)} {score.dtype}: make it ({ROWS}, K) {wanted}, "
        "computed outside of autocast, as recurlight.numerics.full_precision does",
    )
    expect(bool(score.isfinite().all()), "a score is not finite")


def _decision(make: Make) -> None:
    recursion = make()
    halts = recursion.halting.should_halt(recursion.halting.score(_segment(recursion)), AGES)
    expect(
        halts.shape == (ROWS,) and halts.dtype == torch.bool and not halts.requires_grad,
        f"should_halt returns {tuple(halts.shape)} {halts.dtype}: make it ({ROWS},) bool, without gradient",
    )
    _require_same_decision(recursion.halting, recursion.halting.score(_segment(recursion)), halts)


def _require_same_decision(policy: Halting, score: Tensor, halts: Tensor) -> None:
    """Insist that a policy that tells how likely stopping is stops where it is likelier than going on."""
    try:
        likelier = policy.stopping(score) > 0
    except IncompatibleComponents:  # it does not tell
        return
    expect(
        torch.equal(likelier, halts),
        "should_halt does not stop where stopping is above 0: evaluation would not follow what was trained",
    )


Case = tuple[Segment, Outcome, Tensor]
"""What a policy is asked: a segment, its outcome, and ages."""


def _judged(policy: Halting, case: Case) -> Tensor:
    """Score, decide and learn, as one batch of evaluation that is seeded; `(B, K + 2)`."""
    seed_batch(0, -1)
    score = policy.score(case[0])
    halts, each = policy.should_halt(score, case[2]), policy.loss(score, case[1])
    return torch.cat([score, halts[:, None].to(score.dtype), each[:, None]], dim=1)


def _case(recursion: Recursion, ages: Tensor, seed: int = 0) -> Case:
    segment = _segment(recursion, seed)
    return segment, _outcome(recursion.halting.score(segment)), ages


def _rows(make: Make) -> None:
    recursion = make().double()
    whole, other = _case(recursion, AGES), _case(recursion, AGES.flip(0), seed=1)
    expect(
        rows_apart(partial(_judged, recursion.halting), whole, other),
        "rows change when other rows are left out or hold something else: "
        "score, decide and learn for each row alone",
    )


def _loss(make: Make) -> None:
    recursion = make()
    policy, segment = recursion.halting, _segment(recursion)
    huge = segment._replace(answer=segment.answer * 1e4)
    still = segment._replace(before=segment.answer)
    for case in (segment, huge, still):
        score = policy.score(case)
        found = policy.loss(score, _outcome(score))
        expect(
            found.shape == (ROWS,) and found.dtype == score.dtype,
            f"loss returns {tuple(found.shape)} {found.dtype}: make it ({ROWS},) {score.dtype}",
        )
        expect(
            bool(found.isfinite().all()), "a loss is not finite for a huge answer, or one that does not move"
        )


def _gradients(make: Make) -> None:
    recursion = make()
    carry = recursion.start(questions(TINY, ROWS))
    for step in range(3):
        recursion.zero_grad()
        batch = questions(TINY, ROWS, seed=step)
        carry, loss, _, _ = recursion.learn(carry, batch, StablemaxCrossEntropy(), step)
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        for name, weight in recursion.halting.named_parameters():
            expect(
                weight.grad is not None and bool(weight.grad.isfinite().all()),
                f"{name} has no finite gradient in step {step}: use every weight in each score and its loss",
            )


def _randomness(make: Make) -> None:
    require_repeatable(make(), questions(TINY, ROWS))


def _slots(make: Make) -> None:
    recursion = make().double()
    require_slots(partial(_judged, recursion.halting), _case(recursion, AGES))


def _checkpoint(make: Make) -> None:
    first, second = make(), make(seed=1)
    second.load_state_dict(reloaded(first.state_dict()))
    segment = _segment(first)
    expect(
        torch.equal(first.halting.score(segment), second.halting.score(segment)),
        "a new one with the saved weights scores differently: make every tensor a parameter or a buffer",
    )


def _resume(make: Make) -> None:
    recursion, batch = make(), questions(TINY, ROWS)
    still = torch.optim.SGD(recursion.parameters(), lr=0.0)
    require_no_memory(recursion.halting, lambda: train(recursion, still, recursion.start(batch), range(2)))
    expect(
        resumed(make(), make(seed=1), batch),
        "training that is resumed goes on differently: keep nothing outside the weights",
    )


def _copy(make: Make) -> None:
    recursion = make()
    segment = _segment(recursion)
    again = copied(recursion).halting.score(segment)
    expect(torch.equal(again, recursion.halting.score(segment)), "a deep copy scores differently")


def _segments(make: Make) -> None:
    recursion = make()
    carry = recursion.start(questions(TINY, ROWS))
    with torch.no_grad():
        for step in range(2 * CAP):
            carry, _, score = recursion.segment(carry, questions(TINY, ROWS, seed=step))
            carry = recursion.halt(carry, score, step)
            _require_between(carry.age)
    found = recursion.solve(questions(TINY, ROWS), CAP, stopping=AsTrained())
    _require_between(found.segments)
    expect(bool(found.logits.isfinite().all()), "adaptive evaluation gives an answer that is not finite")


def _require_between(segments: Tensor) -> None:
    inside = bool(((segments >= 1) & (segments <= CAP)).all())
    expect(inside, f"a sample got {segments.tolist()} segments, not 1 to {CAP}")


_CHECKS = {
    "score": _score,
    "decision": _decision,
    "rows": _rows,
    "loss": _loss,
    "gradients": _gradients,
    "randomness": _randomness,
    "slots": _slots,
    "checkpoint": _checkpoint,
    "resume": _resume,
    "copy": _copy,
    "segments": _segments,
}

"""Checks of a supervision."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from recurlight import draw, slots
from recurlight.cells import MixerCell
from recurlight.codec.feedback import AnswerFeedback
from recurlight.draw.seeding import seed_batch
from recurlight.halting import CorrectnessHalting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import TwoLevelRefiner
from recurlight.supervision import Supervision, Turn
from recurlight.testing.report import Findings, expect, run
from recurlight.testing.task import TINY, close, loss_of, questions, require_no_memory, resumed
from recurlight.truncation import EveryUpdate
from recurlight.types import Batch, Carry, Learnt

__all__ = ["check_supervision"]

ROWS, CAP = 6, 4


def check_supervision(
    build: Callable[[], Supervision],
    *,
    compose: Callable[[], Recursion] | None = None,
    exclude: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Findings:
    """Check a supervision of yours by what recurlight promises of its own, in seconds on a CPU.

    | check | what must hold |
    | --- | --- |
    | `composes` | its own check accepts the composition, and a step runs |
    | `carry` | the carry keeps its form and has no gradient; the loss is one finite number with gradient |
    | `slots` | halted slots take the fresh sample and no others do; slots grow older, and halt at the cap |
    | `rows` | what one slot adds to the loss, and its carry, do not depend on the other slots |
    | `ranks` | a step of two ranks equals that of one process |
    | `gradients` | every weight gets a finite gradient in every training step |
    | `randomness` | a step is the same again under the same seed of the global generators |
    | `resume` | training that is resumed goes on bit for bit; nothing is kept from step to step |
    | `copy` | pickled and read back it does the same |

    Args:
        build: Makes a new supervision: a class, or a function without arguments.
        compose: Makes the composition that it trains; None for a tiny one with `EveryUpdate`,
            `CorrectnessHalting` and at most 4 segments.
        exclude: Checks to leave out, each with its reason.
        raises: Raise what was found, in place of returning it.

    Returns:
        What each check found: None, or a message.

    Raises:
        ContractError: A check found something and `raises` is set.

    Example:
        >>> from recurlight import DeepSupervision
        >>> check_supervision(lambda: DeepSupervision(2))["rows"]
    """
    make = partial(_Bench, build, compose)
    checks = {name: partial(check, make) for name, check in _CHECKS.items()}
    return run("the supervision", checks, exclude, raises)


def _tiny(feedback: AnswerFeedback | None) -> Recursion:
    parts = TwoLevelRefiner(MixerCell(1, multiple=32), latent_steps=1), EveryUpdate(), CorrectnessHalting()
    made = Recursion(TINY, *parts, cycles=2, max_segments=CAP, exploration=0.5, feedback=feedback)
    generator = torch.Generator().manual_seed(1)
    for weight in parts[2].parameters():  # a head that starts at zero would score every row the same
        weight.data = torch.randn(weight.shape, generator=generator) * 0.5
    return made


class _Bench:
    """A supervision with a composition in float64 that it trains, amid its work.

    Args:
        build: Makes the supervision.
        compose: Makes the composition; None for a tiny one.
    """

    def __init__(self, build: Callable[[], Supervision], compose: Callable[[], Recursion] | None) -> None:
        self.rule = build()
        self.recursion = (compose() if compose else _tiny(self.rule.feedback())).double()
        self.loss = loss_of(self.recursion.sizes)
        self.rows = self.rule.rows_per_slot()
        self.recursion.require(partial(self.rule.check, loss=self.loss))

    def questions(self, seed: int = 0) -> Batch:
        return questions(self.recursion.sizes, ROWS, seed)

    def step(self, carry: Carry, fresh: Batch, number: int = 0, rank: int = 0, ranks: int = 1) -> Learnt:
        """Take one step, under the seed of its batch."""
        seed_batch(0, number)
        with draw.as_rank(rank, ranks):
            return self.rule.step(self.recursion, carry, fresh, self.loss, Turn(number, 0.5, rank, ranks))

    def busy(self, seed: int = 0) -> Carry:
        """Return a carry after two steps."""
        carry = self.rule.start(self.recursion, self.questions(seed))
        for number in range(2):
            carry = slots.detach(self.step(carry, self.questions(seed + number), number).carry)
        return carry

    def learnt(self, learnt: Learnt) -> list[Tensor]:
        """Return the gradient of each weight."""
        weights = [weight for weight in self.recursion.parameters() if weight.requires_grad]
        found = torch.autograd.grad(learnt.loss, weights, allow_unused=True)
        return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]


Make = Callable[[], _Bench]


def _composes(make: Make) -> None:
    bench = make()
    bench.step(bench.rule.start(bench.recursion, bench.questions()), bench.questions())


def _carry(make: Make) -> None:
    bench = make()
    before = bench.busy()
    learnt = bench.step(before, bench.questions(seed=9))
    kinds = [[(leaf.shape, leaf.dtype) for leaf in slots.leaves(carry)] for carry in (before, learnt.carry)]
    expect(kinds[0] == kinds[1], f"the carry changes from {kinds[0]} to {kinds[1]}: keep shapes and dtypes")
    expect(
        not any(leaf.requires_grad for leaf in slots.leaves(learnt.carry)),
        "the carry has gradient, so that the next step would reach back into this one: return "
        "slots.detach(carry)",
    )
    loss, correct = learnt.loss, learnt.correct
    expect(
        loss.shape == () and loss.requires_grad and bool(loss.isfinite()),
        f"the loss is {tuple(loss.shape)} {loss.dtype}: return one finite number with gradient",
    )
    expect(
        correct.shape == (ROWS,) and correct.dtype == torch.bool,
        f"correct is {tuple(correct.shape)} {correct.dtype}: return a bool for each slot, ({ROWS},)",
    )


def _slots(make: Make) -> None:
    bench, cap = make(), make().recursion.max_segments
    carry = bench.rule.start(bench.recursion, bench.questions())
    for number in range(2 * cap):
        fresh = bench.questions(seed=number)
        after = bench.step(carry, fresh, number).carry
        taken = slots.choose(carry.halted, slots.repeat(fresh, bench.rows), carry.batch)
        same = all(torch.equal(a, b) for a, b in zip(after.batch, taken, strict=True))
        expect(same, "a slot has another sample: refill those that are halted on entry, and leave the others")
        old = carry.age.masked_fill(carry.halted, 0)
        expect(
            bool(((after.age > old) & (after.age <= cap)).all()),
            f"slots of age {old.tolist()} leave the step at {after.age.tolist()}: let a slot grow older by "
            f"each segment that it works, up to max_segments={cap}",
        )
        expect(bool(after.halted[after.age == cap].all()), "a slot at the cap has not halted")
        carry = slots.detach(after)


def _rows(make: Make) -> None:
    bench = make()
    first, second = ((bench.busy(seed), bench.questions(seed=9 + seed)) for seed in (0, 20))
    half = torch.arange(ROWS) < ROWS // 2
    mixed, rest = (_exchanged(half, *pair, bench.rows) for pair in ((first, second), (second, first)))
    steps = [bench.step(*case) for case in (first, second, mixed, rest)]
    parts = [torch.cat([s.loss[None], *(g.flatten() for g in bench.learnt(s))]) for s in steps]
    expect(
        close(parts[0] + parts[1], parts[2] + parts[3], 1e-8),
        "what a slot adds to the loss depends on the other slots: let each slot's loss come from its own "
        "rows, and take the mean over all slots at the end",
    )
    rows = half.repeat_interleave(bench.rows)
    kept = all(
        close(a[rows].double(), b[rows].double())
        for a, b in zip(slots.leaves(steps[0].carry), slots.leaves(steps[2].carry), strict=True)
    )
    expect(kept, "the carry of a slot depends on the other slots: treat each slot alone")


def _exchanged(
    half: Tensor, one: tuple[Carry, Batch], other: tuple[Carry, Batch], rows: int
) -> tuple[Carry, Batch]:
    """Take the slots of one half from `one`, the others from `other`."""
    return (
        slots.choose(half.repeat_interleave(rows), one[0], other[0]),
        slots.choose(half, one[1], other[1]),
    )


def _ranks(make: Make) -> None:
    bench = make()
    carry, fresh = bench.busy(), bench.questions(seed=9)
    whole, parts = bench.step(carry, fresh, 5), []
    for rank, share in enumerate(torch.arange(ROWS).reshape(2, -1)):
        rows = (share[:, None] * bench.rows + torch.arange(bench.rows)).flatten()
        part = slots.take(rows, carry), slots.take(share, fresh)
        parts.append(bench.step(*part, 5, rank, ranks=2))
    halves = [bench.learnt(part) for part in parts]
    same = all(
        close((a + b) / 2, c, 1e-8) for a, b, c in zip(*halves, bench.learnt(whole), strict=True)
    ) and close((parts[0].loss + parts[1].loss) / 2, whole.loss)
    expect(
        same and torch.equal(torch.cat([part.carry.halted for part in parts]), whole.carry.halted),
        "two ranks do not take the step of one process: take the mean over all slots, those that wait "
        "counting as zero, hand turn.rank and turn.ranks to Recursion.halt, and draw by recurlight.draw",
    )


def _gradients(make: Make) -> None:
    bench = make()
    carry = bench.rule.start(bench.recursion, bench.questions())
    for number in range(3):
        bench.recursion.zero_grad()
        learnt = bench.step(carry, bench.questions(seed=number), number)
        learnt.loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        carry = slots.detach(learnt.carry)
        for name, weight in bench.recursion.named_parameters():
            fine = weight.grad is not None and bool(weight.grad.isfinite().all())
            expect(
                fine or not weight.requires_grad,
                f"{name} has no finite gradient in step {number}: let the loss of a segment and its halting "
                "loss count in every step, be it with weight 0",
            )


def _randomness(make: Make) -> None:
    bench = make()
    carry, fresh = bench.busy(), bench.questions(seed=9)
    first, second = (bench.learnt(bench.step(carry, fresh)) for _ in range(2))
    expect(
        all(torch.equal(a, b) for a, b in zip(first, second, strict=True)),
        "the same step under the same seed gives something else: keep no count, and draw from the global "
        "generators, which recurlight seeds before every batch, not from your own",
    )


def _resume(make: Make) -> None:
    bench = make()
    carry, fresh = bench.busy(), bench.questions(seed=9)
    require_no_memory(bench.rule, lambda: bench.step(carry, fresh))
    first, second = make().recursion.float(), make().recursion.float()
    expect(
        resumed(first, second, bench.questions(), rule=bench.rule),
        "training that is resumed goes on differently: keep nothing outside the carry",
    )


def _copy(make: Make) -> None:
    bench = make()
    carry, fresh = bench.busy(), bench.questions(seed=9)
    whole = bench.step(carry, fresh).loss
    bench.rule = pickle.loads(pickle.dumps(bench.rule))
    expect(torch.equal(bench.step(carry, fresh).loss, whole), "pickled and read back it gives another loss")


_CHECKS = {
    "composes": _composes,
    "carry": _carry,
    "slots": _slots,
    "rows": _rows,
    "ranks": _ranks,
    "gradients": _gradients,
    "randomness": _randomness,
    "resume": _resume,
    "copy": _copy,
}

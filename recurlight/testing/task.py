"""Steps of training on the tiny task of the checks."""

from __future__ import annotations

import copy
import io
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_unflatten
from torch.utils._pytree import tree_structure as structure

from recurlight import draw, slots
from recurlight.draw.seeding import generators_kept, seed_batch
from recurlight.recursion.driver import Recursion
from recurlight.supervision import OneSegment, Supervision, Turn
from recurlight.testing.report import expect
from recurlight.testing.tiny import FIELDS, TINY, loss_of, questions
from recurlight.types import Batch, Carry, Segment, Sized

__all__ = [
    "FIELDS",
    "TINY",
    "Make",
    "answer",
    "close",
    "copied",
    "draws",
    "gradients",
    "loss_of",
    "questions",
    "reloaded",
    "require_drawn_by_seed",
    "require_no_memory",
    "require_repeatable",
    "require_slots",
    "resumed",
    "rows_apart",
    "train",
]

T = TypeVar("T")

ONE = OneSegment()

Make = Callable[..., Recursion]
"""Makes a composition around a new part; its weights depend on the keyword `seed`."""


def answer(recursion: Recursion, batch: Batch, cycles: int | None = None) -> Segment:
    """Run one segment on fresh slots, as one batch of evaluation that is seeded."""
    seed_batch(0, -1)
    return recursion.segment(recursion.start(batch), batch, cycles)[1]


def train(
    recursion: Recursion,
    optimizer: torch.optim.Optimizer,
    carry: Carry,
    steps: range,
    rule: Supervision = ONE,
) -> tuple[Carry, list[Tensor]]:
    """Take training steps as `RecursiveModule` does; return the carry and the losses."""
    losses = []
    for step in steps:
        seed_batch(0, step)
        batch = questions(recursion.sizes, len(carry.age) // rule.rows_per_slot(), seed=step)
        carry, loss, _, _ = rule.step(recursion, carry, batch, loss_of(recursion.sizes), Turn(step))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        optimizer.step()
        losses.append(loss.detach())
    return carry, losses


def gradients(recursion: Recursion, batch: Batch) -> dict[str, Tensor | None]:
    """Return the gradient of each parameter that wants one, after one training step's loss."""
    seed_batch(0, 0)
    recursion.zero_grad()
    loss = recursion.learn(recursion.start(batch), batch, loss_of(recursion.sizes), step=0).loss
    loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
    return {name: weight.grad for name, weight in recursion.named_parameters() if weight.requires_grad}


def close(one: Tensor, other: Tensor, tolerance: float = 1e-9) -> bool:
    """Compare two float tensors by their relative difference in norm."""
    scale = torch.linalg.vector_norm(other).clamp_min(torch.finfo(other.dtype).tiny)
    return bool(torch.linalg.vector_norm(one - other) <= tolerance * scale)


def reloaded(content: Any) -> Any:
    """Write to memory and read back without running code, as a checkpoint is."""
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def resumed(
    first: Recursion, second: Recursion, batch: Batch, steps: int = 3, rule: Supervision = ONE
) -> bool:
    """Return whether a run that goes on from a checkpoint equals the one that was not interrupted.

    Args:
        first: Trained for `2 * steps` steps, with a checkpoint in the middle.
        second: Another build, which goes on from there.
        batch: Any questions of the right size.
        steps: Steps before and after the checkpoint.
        rule: How it is trained.
    """
    optimizer = torch.optim.AdamW(first.parameters(), lr=1e-2)
    carry, _ = train(first, optimizer, rule.start(first, batch), range(steps), rule)
    saved = reloaded([first.state_dict(), optimizer.state_dict(), tree_leaves(carry)])
    _, expected = train(first, optimizer, carry, range(steps, 2 * steps), rule)
    second.load_state_dict(saved[0])
    second.seed = first.seed  # other weights were wanted, the same exploration is
    optimizer = torch.optim.AdamW(second.parameters(), lr=1e-2)
    optimizer.load_state_dict(saved[1])
    carry = tree_unflatten(saved[2], structure(carry))
    _, found = train(second, optimizer, carry, range(steps, 2 * steps), rule)
    return all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def copied(recursion: Recursion) -> Recursion:
    """Copy deeply, as averaging of weights does."""
    return copy.deepcopy(recursion)


def draws(run: Callable[[], object]) -> bool:
    """Return whether something that seeds the global generators for evaluation then takes from them."""
    with generators_kept():
        seed_batch(0, -1)
        before = _generators()
        run()
        return not all(map(np.array_equal, before, _generators()))


def _generators() -> list[Any]:
    numpy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return [torch.get_rng_state().numpy(), *numpy.values(), hash(random.getstate())]


def rows_apart(run: Callable[[T], Tensor], whole: T, other: T, tolerance: float = 1e-9) -> bool:
    """Return whether two rows keep their result when the others hold something else, or are left out.

    Where `run` draws, a batch of another size draws other numbers; there only the first is asked.

    Args:
        run: Maps a tree of `(B, ...)` tensors to `(B, ...)`; it seeds the generators itself.
        whole: At least three rows.
        other: As many other rows.
        tolerance: Relative difference that is rounding.
    """
    some = torch.tensor([2, 1])
    rows = len(tree_leaves(whole)[0])
    kept = (torch.arange(rows)[:, None] == some).any(1)
    expected, changed = (run(tree)[some] for tree in (whole, slots.choose(kept, whole, other)))
    if not close(changed, expected, tolerance):
        return False
    return draws(lambda: run(whole)) or close(run(slots.take(some, whole)), expected, tolerance)


def require_repeatable(recursion: Recursion, batch: Batch) -> None:
    """Insist that a step, of training and of evaluation, is the same again under the same seed.

    Raises:
        ContractError: It is not.
    """
    steps = [gradients(recursion, batch) for _ in range(2)]
    pairs = zip(*(step.values() for step in steps), strict=True)
    same = all(
        torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
        for a, b in pairs
        if a is not None and b is not None
    )
    answers = [answer(recursion.eval(), batch).logits for _ in range(2)]
    expect(
        same and torch.equal(*answers),
        "the same step under the same seed gives something else: keep no count, and draw by recurlight.draw, "
        "whose generators are seeded before every batch, not from your own",
    )


def require_slots(run: Callable[[T], Tensor], whole: T, tolerance: float = 1e-9) -> None:
    """Insist that what is drawn belongs to slots of the global batch.

    Args:
        run: Maps a tree of `(B, ...)` tensors to `(B, ...)`; it seeds the generators itself.
        whole: An even number of rows, at least four.
        tolerance: Relative difference that is rounding.

    Raises:
        ContractError: Two ranks with half of the rows each, or rows that go on alone, draw other numbers.
    """
    if not draws(lambda: run(whole)):
        return
    rows, some = len(tree_leaves(whole)[0]), torch.tensor([2, 1])
    expected, halves = run(whole), []
    for rank, half in enumerate(torch.arange(rows).chunk(2)):
        with draw.as_rank(rank, 2):
            halves.append(run(slots.take(half, whole)))
    with draw.of_batch(rows, rows=some):
        alone = run(slots.take(some, whole))
    expect(
        close(torch.cat(halves), expected, tolerance) and close(alone, expected[some], tolerance),
        "a row draws other numbers on two ranks, or when others have left: draw by recurlight.draw, "
        "draw.normal(x) in place of torch.randn_like(x), draw.Dropout in place of torch.nn.Dropout",
    )


def require_drawn_by_seed(make: Make, part: Callable[[Recursion], nn.Module]) -> None:
    """Require that `Sized` modules draw their weights from the generator that they get, and nowhere else.

    Args:
        make: Makes the composition.
        part: Picks what is looked at.

    Raises:
        ContractError: They do not.
    """

    def weights(seed: int, draw: int) -> dict[str, Tensor]:
        seed_batch(0, draw)  # another module than one that is `Sized` may draw as it likes
        made = part(make(seed=seed))
        sized = [name for name, module in made.named_modules() if isinstance(module, Sized)]
        return {
            name: weight
            for name, weight in made.named_parameters()
            if any(not place or name.startswith(f"{place}.") for place in sized)
        }

    first, second = weights(0, 0), weights(0, 1)
    strays = [name for name, weight in first.items() if not torch.equal(weight, second[name])]
    expect(
        not strays,
        f"{', '.join(strays)} is drawn from elsewhere than the generator that build gets: pass it on, as "
        "torch.randn(..., generator=generator)",
    )


def require_no_memory(part: object, run: Callable[[], object]) -> None:
    """Insist that a part keeps no number, text or generator that changes from run to run.

    What settles in the first run is a cache, and tensors are buffers or for show.

    Args:
        part: A module, or an object with attributes.
        run: Uses it.

    Raises:
        ContractError: It does; the message names the attribute.
    """
    run()
    before = dict(_kept(part))
    for _ in range(3):
        run()
    changed = [name for name, value in _kept(part) if before.get(name, value) != value]
    expect(
        not changed,
        f"{', '.join(changed)} changes from run to run, and no checkpoint holds it: compute it from the step "
        "in a callback, make it a buffer, or draw by recurlight.draw, whose generators are seeded before "
        "every batch",
    )


def _kept(part: object) -> Iterator[tuple[str, object]]:
    """Yield the plain attributes of an object, and of a module's parts, by name."""
    named = dict(part.named_modules()) if isinstance(part, nn.Module) else {"": part}
    for place, owner in named.items():
        for name, value in getattr(owner, "__dict__", {}).items():
            if not name.startswith(("_parameters", "_buffers", "_modules")):
                yield from _plain(".".join(filter(None, (place, name))), value)


def _plain(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, torch.Generator):
        yield name, tuple(value.get_state().tolist())
    elif isinstance(value, (int, float, str, random.Random, np.random.Generator)):
        generator = not isinstance(value, (int, float, str))
        yield name, repr(copy.deepcopy(value).random()) if generator else value  # type: ignore[union-attr]
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _plain(f"{name}[{key!r}]", item)
    elif isinstance(value, (list, tuple)):
        for key, item in enumerate(value):
            yield from _plain(f"{name}[{key}]", item)

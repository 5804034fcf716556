"""The tiny task of the checks, and steps of training on it."""

from __future__ import annotations

import copy
import io
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_unflatten
from torch.utils._pytree import tree_structure as structure

from recurlight.losses import StablemaxCrossEntropy, exactly_right
from recurlight.recursion import Recursion
from recurlight.testing.report import expect
from recurlight.types import Batch, Carry, Segment, Sizes

__all__ = [
    "TINY",
    "answer",
    "close",
    "copied",
    "gradients",
    "loss",
    "questions",
    "random_state_kept",
    "reloaded",
    "resumed",
    "train",
]

TINY = Sizes(vocab=6, tokens=16, width=32)


def questions(sizes: Sizes, rows: int = 4, seed: int = 0) -> Batch:
    """Make random questions whose answer is each token's neighbour."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(1, sizes.vocab, (rows, sizes.tokens), generator=generator)
    return Batch(inputs, inputs.roll(1, dims=1), torch.arange(rows) % sizes.tasks)


def answer(recursion: Recursion, batch: Batch, cycles: int | None = None) -> Segment:
    """Run one segment on fresh slots."""
    return recursion.segment(recursion.start(batch), batch, cycles)[1]


def loss(recursion: Recursion, carry: Carry, batch: Batch) -> tuple[Tensor, Carry, Tensor]:
    """Return the loss of a training step, the carry and the halting scores."""
    carry, segment, score = recursion.segment(carry, batch)
    outcome = recursion.outcome(carry, exactly_right(segment.logits, carry.batch.labels))
    each = StablemaxCrossEntropy()(segment.logits, carry.batch.labels) + recursion.halting.loss(
        score, outcome
    )
    return each.mean(), carry, score


def train(
    recursion: Recursion, optimizer: torch.optim.Optimizer, carry: Carry, steps: range
) -> tuple[Carry, list[Tensor]]:
    """Take training steps as `RecursiveModule` does; return the carry and the losses."""
    losses = []
    for step in steps:
        value, carry, score = loss(recursion, carry, questions(recursion.sizes, len(carry.age), seed=step))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call,unused-ignore]
        optimizer.step()
        carry = recursion.halt(carry, score.detach(), step)
        losses.append(value.detach())
    return carry, losses


def gradients(recursion: Recursion, batch: Batch) -> dict[str, Tensor | None]:
    """Return the gradient of each parameter that wants one, after one training step's loss."""
    recursion.zero_grad()
    loss(recursion, recursion.start(batch), batch)[0].backward()  # type: ignore[no-untyped-call,unused-ignore]
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


def resumed(first: Recursion, second: Recursion, batch: Batch, steps: int = 3) -> bool:
    """Tell whether a run that goes on from a checkpoint equals the one that was not interrupted.

    Args:
        first: Trained for `2 * steps` steps, with a checkpoint in the middle.
        second: Another build, which goes on from there.
        batch: Any questions of the right size.
        steps: Steps before and after the checkpoint.
    """
    optimizer = torch.optim.AdamW(first.parameters(), lr=1e-2)
    carry, _ = train(first, optimizer, first.start(batch), range(steps))
    saved = reloaded([first.state_dict(), optimizer.state_dict(), tree_leaves(carry)])
    _, expected = train(first, optimizer, carry, range(steps, 2 * steps))
    second.load_state_dict(saved[0])
    optimizer = torch.optim.AdamW(second.parameters(), lr=1e-2)
    optimizer.load_state_dict(saved[1])
    carry = tree_unflatten(saved[2], structure(carry))
    _, found = train(second, optimizer, carry, range(steps, 2 * steps))
    return all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def copied(recursion: Recursion) -> Recursion:
    """Copy deeply, as averaging of weights does."""
    return copy.deepcopy(recursion)


def random_state_kept(recursion: Recursion, batch: Batch) -> None:
    """Insist that a training step takes nothing from the global random state.

    Raises:
        ContractError: It does.
    """
    before = torch.get_rng_state()
    gradients(recursion, batch)
    expect(
        torch.equal(before, torch.get_rng_state()),
        "a training step draws from the global random state, which no checkpoint resumes: "
        "draw from a torch.Generator of your own, seeded in build()",
    )

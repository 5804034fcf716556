"""Checks of a loss."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from recurlight.draw.seeding import seed_batch
from recurlight.losses import SequenceLoss
from recurlight.recursion import outputs
from recurlight.testing.report import Findings, expect, run
from recurlight.testing.task import TINY, rows_apart
from recurlight.types import IGNORE, Sizes

__all__ = ["check_loss"]

ROWS = 4


def check_loss(
    build: Callable[[], SequenceLoss],
    *,
    sizes: Sizes = TINY,
    exclude: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Findings:
    """Check a loss of yours by what recurlight promises of its own, in a second on a CPU.

    | check | what must hold |
    | --- | --- |
    | `composes` | `RecursiveModule` accepts it: `(B,)`, with gradient, `IGNORE` does not count |
    | `precision` | float32 for float32 and bfloat16 logits, float64 for float64 |
    | `rows` | no row changes when other rows are left out |
    | `finite` | loss and gradient are finite for logits of any size up to 10,000 |
    | `gradient` | the gradient is the derivative, by finite differences in float64 |
    | `order` | logits that say the labels cost less than logits that say something else |
    | `randomness` | the same again under the same seed of the global generators |
    | `copy` | a deep copy gives the same |

    Args:
        build: Makes a new loss: a class, or a function without arguments.
        sizes: Sizes of the task, for losses that need their own.
        exclude: Checks to leave out, each with its reason.
        raises: Raise what was found, in place of returning it.

    Returns:
        What each check found: None, or a message.

    Raises:
        ContractError: A check found something and `raises` is set.

    Example:
        >>> from recurlight import SoftmaxCrossEntropy
        >>> check_loss(SoftmaxCrossEntropy)["gradient"]
    """
    checks = {name: partial(check, build, sizes) for name, check in _CHECKS.items()}
    return run("the loss", checks, exclude, raises)


Build = Callable[[], SequenceLoss]


def _case(sizes: Sizes, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw logits and labels, of which every third is not supervised."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(ROWS, sizes.tokens, sizes.vocab, generator=generator, dtype=torch.float64)
    labels = torch.randint(1, sizes.vocab, (ROWS, sizes.tokens), generator=generator)
    labels[:, ::3] = IGNORE
    return logits, labels


def _composes(build: Build, sizes: Sizes) -> None:
    outputs.check_loss(build(), sizes, sizes.targets or sizes.vocab)


def _precision(build: Build, sizes: Sizes) -> None:
    logits, labels = _case(sizes)
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        wanted = torch.float64 if dtype == torch.float64 else torch.float32
        found = build()(logits.to(dtype), labels)
        expect(
            found.dtype == wanted and found.shape == (ROWS,),
            f"logits in {dtype} give {tuple(found.shape)} {found.dtype}: return ({ROWS},) {wanted}",
        )


def _rows(build: Build, sizes: Sizes) -> None:
    loss = build()

    def each(case: tuple[Tensor, Tensor]) -> Tensor:
        seed_batch(0, -1)
        found: Tensor = loss(*case)
        return found

    apart = rows_apart(each, _case(sizes), _case(sizes, seed=1))
    expect(apart, "rows change when other rows are left out or hold something else: treat each row alone")


def _finite(build: Build, sizes: Sizes) -> None:
    logits, labels = _case(sizes)
    for scale in (0.0, 1.0, 100.0, 1e4):
        given = (scale * logits).float().requires_grad_()
        found = build()(given, labels)
        (grad,) = torch.autograd.grad(found.sum(), given)
        expect(
            bool(found.isfinite().all() and grad.isfinite().all()),
            f"loss or gradient is not finite for logits of size {scale:g}: use log_softmax, log_stablemax or "
            "another form that does not overflow",
        )


def _gradient(build: Build, sizes: Sizes) -> None:
    logits, labels = _case(sizes)
    loss, given = build(), logits[:2, :4].clone().requires_grad_()

    def total(values: Tensor) -> Tensor:
        seed_batch(0, -1)
        found: Tensor = loss(values, labels[:2, :4])
        return found

    agrees = torch.autograd.gradcheck(total, (given,), raise_exception=False)
    expect(agrees, "the gradient is not the derivative of the loss, by finite differences: mend backward")


def _order(build: Build, sizes: Sizes) -> None:
    _, labels = _case(sizes)
    right = torch.nn.functional.one_hot(labels.clamp(min=0), sizes.vocab).float()
    wrong = right.roll(1, dims=2)
    loss = build()
    seed_batch(0, -1)
    low = loss(6 * right, labels)
    seed_batch(0, -1)
    expect(
        bool((low < loss(6 * wrong, labels)).all()),
        "logits that say the labels cost no less than others: look at the sign, and at the axis V",
    )


def _randomness(build: Build, sizes: Sizes) -> None:
    loss, case = build(), _case(sizes)
    found = []
    for _ in range(2):
        seed_batch(0, 0)
        found.append(loss(*case))
    expect(
        torch.equal(*found),
        "the same call under the same seed gives something else: keep no count, and draw from the global "
        "generators alone",
    )


def _copy(build: Build, sizes: Sizes) -> None:
    loss, case = build(), _case(sizes)
    seed_batch(0, 0)
    first = loss(*case)
    seed_batch(0, 0)
    expect(torch.equal(copy.deepcopy(loss)(*case), first), "a deep copy gives another loss")


_CHECKS = {
    "composes": _composes,
    "precision": _precision,
    "rows": _rows,
    "finite": _finite,
    "gradient": _gradient,
    "order": _order,
    "randomness": _randomness,
    "copy": _copy,
}

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
from recurlight.testing.task import FIELDS, TINY, rows_apart
from recurlight.types import Sizes, unsupervised

__all__ = ["check_loss"]

ROWS = 4


def check_loss(
    build: Callable[[], SequenceLoss],
    *,
    sizes: Sizes | None = None,
    exclude: Mapping[str, str] | None = None,
    raises: bool = True,
) -> Findings:
    """Check a loss of yours by what recurlight promises of its own, in a second on a CPU.

    | check | what must hold |
    | --- | --- |
    | `composes` | `RecursiveModule` accepts it: `(B,)`, with gradient, `IGNORE` or NaN does not count |
    | `precision` | float32 for float32 and bfloat16 logits, float64 for float64 |
    | `rows` | no row changes when other rows are left out |
    | `finite` | loss and gradient are finite for logits of any size up to 10,000 |
    | `gradient` | the gradient is the derivative, by finite differences in float64 |
    | `order` | logits that say the labels cost less than others, numbers near the labels less than far ones |
    | `randomness` | the same again under the same seed of the global generators |
    | `copy` | a deep copy gives the same |

    Args:
        build: Makes a new loss: a class, or a function without arguments.
        sizes: Sizes of the task, for losses that need their own; None for a tiny task of tokens, or of
            numbers where the loss is of these.
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
    sizes = sizes or (FIELDS if build().numbers else TINY)
    checks = {name: partial(check, build, sizes) for name, check in _CHECKS.items()}
    return run("the loss", checks, exclude, raises)


Build = Callable[[], SequenceLoss]


def _case(sizes: Sizes, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw logits and labels, or numbers, of which every third position is not supervised."""
    generator = torch.Generator().manual_seed(seed)
    shape, outputs = (ROWS, sizes.tokens), sizes.targets or sizes.vocab
    logits = torch.randn(*shape, outputs, generator=generator, dtype=torch.float64)
    if sizes.targets:
        labels = torch.randn(*shape, sizes.targets, generator=generator)
    else:
        labels = torch.randint(1, sizes.vocab, shape, generator=generator)
    labels[:, ::3] = unsupervised(labels)[:, ::3]
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
    logits, labels = _case(sizes)
    if sizes.targets:
        known = labels.nan_to_num()
        near, far = (known + share * logits.float() for share in (0.1, 1.0))
    else:
        near = 6 * torch.nn.functional.one_hot(labels.clamp(min=0), sizes.vocab).float()
        far = near.roll(1, dims=2)
    loss = build()
    seed_batch(0, -1)
    low = loss(near, labels)
    seed_batch(0, -1)
    expect(
        bool((low < loss(far, labels)).all()),
        "outputs that say the labels cost no less than others: look at the sign, and at the last axis",
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

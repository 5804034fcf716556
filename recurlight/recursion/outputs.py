"""What encoder, decoder, halting policy and loss return, tried once on two rows when a model is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from recurlight.codec.base import Decoder, Encoder
from recurlight.errors import IncompatibleComponents
from recurlight.halting.base import Halting
from recurlight.losses import SequenceLoss
from recurlight.numerics import floats
from recurlight.types import Batch, Outcome, Segment, Sizes, unsupervised

__all__ = [
    "check_decoder",
    "check_encoder",
    "check_feedback",
    "check_halting",
    "check_kinds",
    "check_loss",
]

ROWS, TOKENS = 2, 4


def check_kinds(sizes: Sizes, **parts: Encoder | SequenceLoss) -> None:
    """Require an encoder for the questions of the data, and a loss for their answers.

    Args:
        sizes: Say whether these are tokens or numbers.
        **parts: Each under the setting that it stands in.

    Raises:
        IncompatibleComponents: It is made for the other kind.
    """
    theirs = {"encoder": ("questions", sizes.features), "loss": ("answers", sizes.targets)}
    for setting, part in parts.items():
        what, numbers = theirs[setting]
        if part.numbers != bool(numbers):
            name, base = type(part).__name__, {"encoder": "Encoder", "loss": "SequenceLoss"}[setting]
            kind, other = ("numbers", "tokens") if numbers else ("tokens", "numbers")
            raise IncompatibleComponents(
                f"{name} is for {other} and the {what} of the data are {kind}: set model.{setting} to null "
                f"or to another {base}, whose `numbers` is {bool(numbers)}"
            )


def check_encoder(encoder: Encoder, sizes: Sizes) -> None:
    """Encode two questions of zeros.

    Args:
        encoder: Built for the sizes.
        sizes: Sizes of the composition.

    Raises:
        IncompatibleComponents: Not a finite `(B, N, D)` in the dtype of its weights comes out, or no
            `(B, N)` bool of what is filled.
    """
    dtype = _dtype(encoder)
    task = torch.zeros(ROWS, dtype=torch.int64)
    question = _zeros(ROWS, sizes.tokens, sizes.features)
    with torch.no_grad():
        found = _tried(encoder, "forward", question, task)
    _require(found, (ROWS, sizes.positions, sizes.width), dtype, encoder, "forward", "(B, N, D)")
    filled = _tried(encoder, "filled_positions", question)
    _require(filled, (ROWS, sizes.positions), torch.bool, encoder, "filled_positions", "(B, N)")


def check_decoder(decoder: Decoder, sizes: Sizes) -> None:
    """Read out two answers.

    Raises:
        IncompatibleComponents: Not a finite `(B, L, V)` in the dtype of its weights comes out; with another
            last axis where `Decoder.outputs` says so.
    """
    dtype = _dtype(decoder)
    given: list[Any] = [_ramp(ROWS, sizes.positions, sizes.width, dtype=dtype)]
    method = "forward" if type(decoder).read is Decoder.read else "read"
    if method == "read":
        question, answer = (_zeros(ROWS, sizes.tokens, count) for count in (sizes.features, sizes.targets))
        given.append(Batch(question, answer, torch.zeros(ROWS, dtype=torch.int64)))
    with torch.no_grad():
        found = _tried(decoder, method, *given)
    shape, letters = (
        (ROWS, sizes.tokens, decoder.outputs(sizes)),
        "(B, L, G)" if sizes.targets else "(B, L, V)",
    )
    _require(found, shape, dtype, decoder, method, letters)


def check_feedback(decoder: Decoder, sizes: Sizes) -> None:
    """Require a read-out that can be told as a guess at the answer.

    Raises:
        IncompatibleComponents: The decoder reads out something else than an answer has.
    """
    found, wanted = decoder.outputs(sizes), sizes.targets or sizes.vocab
    if found != wanted:
        raise IncompatibleComponents(
            f"{type(decoder).__name__} reads out {found} numbers at each position where an answer has "
            f"{wanted}, so that no guess at it can be told: set model.decoder to null, or model.supervision "
            "to another than Denoising"
        )


def check_halting(halting: Halting, sizes: Sizes, outputs: int) -> None:
    """Score two answers, decide, and take the loss of one that is right and one that is wrong.

    Args:
        halting: Built for the sizes.
        sizes: Sizes of the composition.
        outputs: Numbers that the decoder gives at each position, see `Decoder.outputs`.

    Raises:
        IncompatibleComponents: A method returns another shape or dtype, or something that is not finite.
    """
    dtype = _dtype(halting)
    answer = _ramp(ROWS, sizes.positions, sizes.width, dtype=dtype)
    segment = Segment(answer.flip(0), answer, _ramp(ROWS, sizes.tokens, outputs, dtype=dtype))
    score = _tried(halting, "score", segment)
    scores = score.shape[1] if isinstance(score, Tensor) and score.ndim == 2 else 1
    _require(score, (ROWS, scores), dtype, halting, "score", "(B, K)")
    stop = _tried(halting, "should_halt", score.detach(), torch.ones(ROWS, dtype=torch.int32))
    _require(stop, (ROWS,), torch.bool, halting, "should_halt", "(B,)")
    _require(_tried(halting, "confidence", score), (ROWS,), dtype, halting, "confidence", "(B,)")
    right = torch.arange(ROWS) == 0
    outcome = Outcome(right, ~right, score.detach() if halting.needs_lookahead else None)
    _require(_tried(halting, "loss", score, outcome), (ROWS,), dtype, halting, "loss", "(B,)")


def check_loss(loss: SequenceLoss, sizes: Sizes, outputs: int) -> None:
    """Take the loss of three samples, half supervised, wholly, and not at all, and ask which are right.

    Args:
        loss: Of any kind.
        sizes: Sizes of the composition.
        outputs: Numbers that the decoder gives at each position, see `Decoder.outputs`.

    Raises:
        IncompatibleComponents: Not a finite `(B,)` comes out, what is not supervised counts, a sample sees
            another, or the loss does not say which samples are right.
    """
    check_kinds(sizes, loss=loss)
    logits = _ramp(3, TOKENS, outputs, dtype=torch.float32).requires_grad_()
    labels = _zeros(3, TOKENS, sizes.targets)
    nothing = unsupervised(labels)
    labels[0, TOKENS // 2 :], labels[2] = nothing[0, TOKENS // 2 :], nothing[2]
    with torch.enable_grad():
        found = _tried(loss, "forward", logits, labels)
    _require(found, (3,), torch.float32, loss, "forward", "(B,)")
    _require(_tried(loss, "right", logits.detach(), labels), (3,), torch.bool, loss, "right", "(B,)")
    name = type(loss).__name__
    if not found.requires_grad:
        raise IncompatibleComponents(f"{name} has no gradient: compute it from the logits, without detach()")
    (grad,) = torch.autograd.grad(found[0], logits, retain_graph=True)
    if grad[0, TOKENS // 2 :].any() or found[2] != 0:
        raise IncompatibleComponents(
            f"{name} counts tokens whose label is {'NaN' if sizes.targets else 'IGNORE'}: return one loss "
            "for each token from token_loss, with reduction='none', and leave masking and the mean to "
            "SequenceLoss.forward"
        )
    if grad[1:].any():
        raise IncompatibleComponents(f"{name} of one sample depends on others: treat each row alone")


def _dtype(part: nn.Module) -> torch.dtype:
    """Return the dtype of a part's weights: one that served before may have another than the rest."""
    return next(floats(part), torch.zeros(())).dtype


def _zeros(rows: int, positions: int, numbers: int) -> Tensor:
    """Tokens 0, or so many numbers 0 at each position."""
    if numbers:
        return torch.zeros(rows, positions, numbers)
    return torch.zeros(rows, positions, dtype=torch.int64)


def _ramp(*shape: int, dtype: torch.dtype) -> Tensor:
    """Numbers from -1 to 1, no two alike: at zero a policy may divide by nothing."""
    return torch.linspace(-1, 1, torch.Size(shape).numel(), dtype=dtype).reshape(shape)


def _tried(part: nn.Module, method: str, *given: Any) -> Any:
    """Call a method; an error of torch is told with the shapes that it got."""
    call: Callable[..., Any] = getattr(part, method)
    try:
        return call(*given)
    except (RuntimeError, IndexError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        shapes = ", ".join(f"{tuple(x.shape)} {x.dtype}" for x in given if isinstance(x, Tensor))
        raise IncompatibleComponents(
            f"{type(part).__name__}.{method} fails on {shapes or 'a segment'} ({reason}): "
            "make it take what its base class says"
        ) from error


def _require(
    found: Any, shape: tuple[int, ...], dtype: torch.dtype, part: nn.Module, method: str, letters: str
) -> None:
    """Require a tensor of that shape and dtype that is finite."""
    where = f"{type(part).__name__}.{method}"
    if not isinstance(found, Tensor):
        raise IncompatibleComponents(
            f"{where} returns a {type(found).__name__}: return a tensor {letters} {dtype}"
        )
    if found.shape != shape or found.dtype != dtype:
        raise IncompatibleComponents(
            f"{where} returns {tuple(found.shape)} {found.dtype} where {letters} is {shape}: "
            f"return {letters} {dtype}"
        )
    if not found.isfinite().all():
        raise IncompatibleComponents(f"{where} returns NaN or infinity for moderate values: mend its formula")

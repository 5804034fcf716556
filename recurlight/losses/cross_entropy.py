"""Losses of tokens: cross-entropy of softmax and of stablemax, pure functions first."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.losses.base import SequenceLoss
from recurlight.numerics import at_least_float32

__all__ = ["SoftmaxCrossEntropy", "StablemaxCrossEntropy", "log_stablemax"]

_SMALLEST_RATIO = 1e-30  # below, a ratio of scores loses digits or underflows: subtract logarithms instead


class _LogStablemax(torch.autograd.Function):
    """Logarithm of stablemax with its closed-form gradient.

    Ratios to the largest score of a row cannot overflow; leaving that score out of the sum keeps the digits
    of a probability near 1. Autograd would keep ten tensors of this size; the closed form keeps two.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor) -> Tensor:
        """Compute `log p`, `(..., V)`."""
        size = logits.abs() + 1
        score = torch.where(logits >= 0, size, size.reciprocal())
        top_score, top = score.max(-1, keepdim=True)
        ratio = score / top_score
        rest = ratio.scatter(-1, top, 0.0).sum(-1, keepdim=True)
        log_score = size.log().copysign(logits)
        apart = log_score - log_score.gather(-1, top)
        log_ratio = torch.where(ratio > _SMALLEST_RATIO, ratio.log(), apart)
        return log_ratio - rest.log1p()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep what `backward` needs."""
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Chain `d log s / dx = 1 / (1 + |x|)` with the gradient of a logarithm of softmax."""
        logits, log_p = ctx.saved_tensors
        inner = grad - log_p.exp() * grad.sum(-1, keepdim=True)
        chained: Tensor = inner / (logits.abs() + 1)
        return chained


def log_stablemax(logits: Tensor) -> Tensor:
    """Return the logarithm of stablemax probabilities along the last axis.

    `p = s(x) / sum s(x)` with `s(x) = x + 1` for `x >= 0` and `s(x) = 1 / (1 - x)` for `x < 0`. In place of
    the exponential of softmax, scores grow only linearly, so that logits need not grow without bound.

    The published code needs float64; this form has a relative error below 1e-6 in float32 for any finite
    logits. Use `torch.log_softmax` for the usual exponential scores.

    Args:
        logits: `(..., V)` of any float dtype; -inf gives a word probability 0.

    Returns:
        `(..., V)` float32, or float64 for float64 logits.

    Example:
        >>> log_stablemax(torch.tensor([1.0, 0.0, -1.0])).exp()
        tensor([0.5714, 0.2857, 0.1429])

    Reference:
        Prieto et al., Grokking at the edge of numerical stability, arXiv:2501.04697.
    """
    log_p: Tensor = _LogStablemax.apply(at_least_float32(logits))  # type: ignore[no-untyped-call,unused-ignore]
    return log_p


class SoftmaxCrossEntropy(SequenceLoss):
    """Cross-entropy of softmax probabilities, the usual choice.

    `token_loss = -(1 - e) log p[label] - e / V * sum_v log p[v]`, `p = softmax(logits)`, `e` the smoothing.
    Use `StablemaxCrossEntropy` to reproduce the published HRM and TRM numbers.

    Args:
        label_smoothing: Share of the target spread evenly over the vocabulary, from 0 to 1.
        tokens: Supervised tokens of a usual sample; then every token of a batch has the same weight, in place
            of every sample, see `SequenceLoss`.

    Raises:
        IncompatibleComponents: The smoothing is outside 0 to 1, or there are no tokens.

    Example:
        >>> loss = SoftmaxCrossEntropy()
        >>> loss(torch.zeros(1, 2, 4), torch.tensor([[3, -100]]))
        tensor([1.3863])

    Reference:
        Szegedy et al., Rethinking the Inception architecture (label smoothing), arXiv:1512.00567.
    """

    def __init__(self, label_smoothing: float = 0.0, tokens: float | None = None) -> None:
        super().__init__()
        self.tokens = _positive(type(self).__name__, tokens)
        if not 0.0 <= label_smoothing <= 1.0:
            raise IncompatibleComponents(
                f"SoftmaxCrossEntropy got label_smoothing={label_smoothing}: give a share from 0 to 1, as 0.1"
            )
        self.label_smoothing = label_smoothing

    def token_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of each token, `(B, L)`."""
        flat = F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=self.label_smoothing
        )
        return flat.view(labels.shape)


class StablemaxCrossEntropy(SequenceLoss):
    """Cross-entropy of stablemax probabilities, as HRM and TRM train.

    `token_loss = -log p[label]` with `p` of `log_stablemax`. Use `SoftmaxCrossEntropy` for the usual one.

    Args:
        tokens: Supervised tokens of a usual sample; then every token of a batch has the same weight, in place
            of every sample, see `SequenceLoss`.

    Raises:
        IncompatibleComponents: There are no tokens.

    Example:
        >>> loss = StablemaxCrossEntropy()
        >>> loss(torch.tensor([[[2.0, 0.0, -1.0]]]), torch.tensor([[0]]))
        tensor([0.4055])

    Reference:
        arXiv:2506.21734, arXiv:2510.04871; stablemax itself is arXiv:2501.04697.
    """

    def __init__(self, tokens: float | None = None) -> None:
        super().__init__()
        self.tokens = _positive(type(self).__name__, tokens)

    def token_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of each token, `(B, L)`."""
        return -log_stablemax(logits).gather(-1, labels.unsqueeze(-1)).squeeze(-1)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Return the logarithm of stablemax, `(..., V)`."""
        return log_stablemax(logits)


def _positive(name: str, tokens: float | None) -> float | None:
    if tokens is not None and not 0 < tokens < math.inf:
        raise IncompatibleComponents(
            f"{name} got tokens={tokens}: give how many are supervised in a usual sample"
        )
    return tokens

"""The contract of a loss, and which answers are right where nothing else says it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.numerics import at_least_float32
from recurlight.spec import Recorded
from recurlight.types import IGNORE, supervised

__all__ = ["SequenceLoss", "exactly_right"]


def exactly_right(logits: Tensor, labels: Tensor) -> Tensor:
    """Tell which samples have every supervised token right; one without supervised tokens is not right.

    Args:
        logits: `(B, L, V)`.
        labels: `(B, L)` int64, `IGNORE` where not supervised.

    Returns:
        `(B,)` bool.

    Example:
        >>> logits = torch.eye(3).expand(2, 3, 3)
        >>> exactly_right(logits, torch.tensor([[0, 1, -100], [0, 1, 0]]))
        tensor([ True, False])
    """
    supervised = labels != IGNORE  # (B, L)
    wrong = supervised & (logits.argmax(-1) != labels)
    return supervised.any(1) & ~wrong.any(1)


class SequenceLoss(Recorded, nn.Module, ABC):
    """Mean loss over the supervised tokens of each sample.

    `loss[b] = sum_t [labels[b, t] is supervised] token_loss[b, t] / number of supervised labels of b`. To add
    a loss, write `token_loss`; masking, averaging and precision happen here. For answers that are numbers set
    `numbers`; then `t` stands for position and number, each of which may be supervised by itself.

    Every sample then has the same weight. With `tokens` every token has: the sum is divided by that number,
    the same for all samples. Up to a constant this is the mean over the tokens of a batch, and since no
    sample's loss depends on another's, it is so over any number of ranks and accumulated batches.
    """

    numbers: ClassVar[bool] = False
    """Whether labels are numbers, `(B, L, G)` float, and not tokens, `(B, L)` int64."""

    tokens: float | None = None
    """By what the sum over a sample's labels is divided; None for the number of its supervised labels."""

    @abstractmethod
    def token_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each label, `(B, L)` or `(B, L, G)`; of one that is not supervised, anything.

        Args:
            logits: `(B, L, V)` float32 or float64, what the decoder read out.
            labels: `(B, L)` int64 with 0 in place of `IGNORE`; `(B, L, G)` of the dtype of the logits with 0
                in place of NaN where labels are numbers.
        """

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Tell which answers are right, which halting learns and exact accuracy counts: here, of tokens.

        Args:
            logits: `(B, L, V)` of any float dtype.
            labels: As the batch has them.

        Returns:
            `(B,)` bool, False for a sample without supervised labels.
        """
        return exactly_right(logits, labels)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Return the logarithm of what logits say of each token: here, of softmax.

        Args:
            logits: `(..., V)` of any float dtype.
        """
        return at_least_float32(logits).log_softmax(-1)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Average the token losses of each sample.

        Args:
            logits: `(B, L, V)` of any float dtype; half precisions are raised to float32.
            labels: `(B, L)` int64, `IGNORE` where not supervised; or numbers `(B, L, G)`, NaN where not.

        Returns:
            `(B,)` float32 (float64 for float64 logits); exactly 0 for a sample without supervised labels.

        Raises:
            IncompatibleComponents: Logits and labels differ in `B` or `L`, or `token_loss` from them.
        """
        self._require(logits, labels)
        logits, counts = at_least_float32(logits), supervised(labels)
        known = labels.where(counts, 0)
        each = self.token_loss(logits, known.to(logits.dtype) if self.numbers else known)
        if each.shape != labels.shape:
            letters = "(B, L, G)" if self.numbers else "(B, L)"
            raise IncompatibleComponents(
                f"{type(self).__name__}.token_loss returns {tuple(each.shape)} for labels "
                f"{tuple(labels.shape)}: return the loss of each token, {letters}, with reduction='none'"
            )
        total = each.where(counts, 0.0).flatten(1).sum(1)  # (B,)
        return total / (counts.flatten(1).sum(1).clamp(min=1) if self.tokens is None else self.tokens)

    def _require(self, logits: Tensor, labels: Tensor) -> None:
        """Insist on a read-out and labels of one form."""
        letters, dtype = ("(B, L, G)", "floating-point") if self.numbers else ("(B, L)", "int64")
        floating = isinstance(logits, Tensor) and logits.is_floating_point() and logits.ndim == 3
        fits = isinstance(labels, Tensor) and (
            labels.is_floating_point() if self.numbers else labels.dtype == torch.int64
        )
        if not floating or not fits:
            raise IncompatibleComponents(
                f"{type(self).__name__} got {_form(logits)} as logits and {_form(labels)} as labels: "
                f"give floating-point logits (B, L, V) and {dtype} labels {letters}"
            )
        if labels.ndim != 2 + self.numbers or logits.shape[:2] != labels.shape[:2]:
            raise IncompatibleComponents(
                f"{type(self).__name__} got logits {tuple(logits.shape)} and labels {tuple(labels.shape)}: "
                f"give logits (B, L, V) and labels {letters}"
            )


def _form(given: object) -> str:
    """Show the form of what was given."""
    return f"{tuple(given.shape)} {given.dtype}" if isinstance(given, Tensor) else type(given).__name__

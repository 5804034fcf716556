"""What a segment is told of the answer so far: a point on the way from noise to the answer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurlight import draw
from recurlight.numerics import to_compute_dtype, truncated_normal
from recurlight.spec.given import within
from recurlight.types import Batch, Carry, Sized, Sizes, supervised

__all__ = ["AnswerFeedback"]


class AnswerFeedback(Sized):
    """A guess at the answer that every update sees, added to the injection.

    `injection[P:] += guess W`, and after segment `n` of `S` the guess moves on a straight line to a target:
    `guess += (target - guess) / (S - n + 1)`, so that after `S` segments it is there.

    The guess begins at Gaussian noise. In evaluation the target is what the segment has read out, the softmax
    of its logits; `Denoising` trains with the right answer as the target. Where answers are numbers, guess
    and target are numbers too, `G` at each position in place of `V`.

    Args:
        noise: Standard deviation of the noise, above 0; the target of tokens is 0 and 1.

    Example:
        >>> feedback = AnswerFeedback()
        >>> feedback.bind(Sizes(vocab=6, tokens=16, width=32, prefix=2), torch.Generator().manual_seed(0))
        >>> feedback(torch.zeros(3, 16, 6)).shape
        torch.Size([3, 18, 32])

    Reference:
        Liu et al., Flow straight and fast (rectified flow), arXiv:2209.03003.
    """

    def __init__(self, noise: float = 1.0) -> None:
        super().__init__()
        within("AnswerFeedback", "noise", noise, above=0)
        self.noise = noise

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the weights, as those of the encoder: a target is told as loudly as a question."""
        self.prefix, self.scale = sizes.prefix, math.sqrt(sizes.width)
        self.outputs = sizes.targets or sizes.vocab
        std = 1 / (self.scale * math.sqrt(max(sizes.targets, 1)))
        weight = truncated_normal(self.outputs, sizes.width, std=std, generator=generator)
        self.weight = nn.Parameter(weight)

    def forward(self, guess: Tensor) -> Tensor:
        """Map a guess, `(B, L, V)` or `(B, L, G)`, to what is added to the injection, `(B, N, D)`."""
        told = self.scale * (guess.to(self.weight.dtype) @ self.weight)
        return to_compute_dtype(functional.pad(told, (0, 0, self.prefix, 0)))

    def blank(self, batch: Batch) -> Tensor:
        """Return a guess of zeros, `(B, L, V)` or `(B, L, G)`, for slots that have not begun."""
        return self.weight.new_zeros(*batch.inputs.shape[:2], self.outputs)

    def first(self, batch: Batch) -> Tensor:
        """Draw the noise at which guesses begin, `(B, L, V)` or `(B, L, G)`, float32 or float64."""
        return self.noise * draw.normal(self.blank(batch))

    def towards(self, logits: Tensor, carry: Carry, last: int) -> Tensor:
        """Move the guess of a carry to what its segment has read out.

        Args:
            logits: `(B, L, V)`, or numbers `(B, L, G)`, which are the target as they are.
            carry: As returned by `segment`.
            last: Segments `S` in all.
        """
        numbers = carry.batch.labels.is_floating_point()
        return self._moved(carry, logits if numbers else logits.softmax(-1), last)

    def to_labels(self, carry: Carry, last: int) -> Tensor:
        """Move the guess of a carry to the right answer; it stays where nothing is supervised.

        Args:
            carry: As returned by `segment`.
            last: Segments `S` in all.
        """
        labels, guess = carry.batch.labels, carry.guess
        assert guess is not None
        if labels.is_floating_point():
            return self._moved(carry, torch.where(supervised(labels), labels.to(guess), guess), last)
        right = torch.zeros_like(guess).scatter_(-1, labels.clamp(min=0).unsqueeze(-1), 1.0)
        return self._moved(carry, torch.where(supervised(labels).unsqueeze(-1), right, guess), last)

    def _moved(self, carry: Carry, target: Tensor, last: int) -> Tensor:
        guess = carry.guess
        assert guess is not None  # the driver keeps one wherever there is feedback
        left = (last - carry.age + 1).clamp(min=1).view(-1, 1, 1)
        return guess + (target.to(guess) - guess) / left

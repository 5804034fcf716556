"""The records that cross boundaries, and the one alphabet of shape letters.

| letter | meaning |
| --- | --- |
| `B` | slots: rows of the batch, each holding one sample until that sample halts |
| `L` | tokens of a sample |
| `P` | task-prefix positions put before the tokens |
| `N` | positions, `P + L` |
| `D` | width |
| `V` | vocabulary |
| `F`, `G` | numbers at a position of a question and of an answer, where these are no tokens |
| `K` | halting scores, defined by the halting policy |
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from recurlight.sized import Sized, Sizes

__all__ = [
    "IGNORE",
    "Batch",
    "Carry",
    "Judged",
    "Learnt",
    "Outcome",
    "Prediction",
    "Segment",
    "Sized",
    "Sizes",
    "State",
    "StateT",
    "supervised",
    "unsupervised",
]

IGNORE = -100
"""Label of a token that is not supervised; among labels that are numbers, NaN says the same."""


class State(Protocol):
    """What every refiner's state has: a `NamedTuple` of batch-first tensors with a field `answer`."""

    @property
    def answer(self) -> Tensor:
        """Answer, `(B, N, D)`: what the decoder and the halting policy read."""
        ...


StateT = TypeVar("StateT", bound=State)
"""Type of the state of one refiner."""


def supervised(labels: Tensor) -> Tensor:
    """Tell where labels count: tokens that are not `IGNORE`, numbers that are not NaN.

    Args:
        labels: `(B, L)` int64 or `(B, L, G)` float.

    Returns:
        Bool of the same shape.

    Example:
        >>> supervised(torch.tensor([[3, IGNORE]])), supervised(torch.tensor([[[0.5], [torch.nan]]]))
        (tensor([[ True, False]]), tensor([[[ True],
             [False]]]))
    """
    return ~labels.isnan() if labels.is_floating_point() else labels != IGNORE


def unsupervised(labels: Tensor) -> Tensor:
    """Return labels like these of which none counts.

    Example:
        >>> unsupervised(torch.tensor([[3, 1]])), unsupervised(torch.tensor([[[0.5]]]))
        (tensor([[-100, -100]]), tensor([[[nan]]]))
    """
    return torch.full_like(labels, torch.nan if labels.is_floating_point() else IGNORE)


class Batch(NamedTuple):
    """One sample for each slot; questions and answers are tokens or numbers, each by itself.

    Attributes:
        inputs: Question tokens, `(B, L)` int64, or numbers, `(B, L, F)` float32.
        labels: Answer tokens, `(B, L)` int64, `IGNORE` where not supervised; or numbers, `(B, L, G)` float32,
            NaN where not supervised.
        task: Task of each sample, `(B,)` int64, 0 when the data has one task.
    """

    inputs: Tensor
    labels: Tensor
    task: Tensor

    def asked(self) -> Tensor:
        """Return which rows ask something, `(B,)` bool; those that only fill a batch up are 0 all over.

        A row may be asked without a supervised label: then its answer is not known.

        Example:
            >>> import torch
            >>> questions = torch.tensor([[1, 2], [1, 2], [0, 0]])
            >>> labels = torch.tensor([[2, 1], [IGNORE, IGNORE], [IGNORE, IGNORE]])
            >>> Batch(questions, labels, torch.zeros(3)).asked()
            tensor([ True,  True, False])
        """
        return self.answered() | (self.inputs != 0).flatten(1).any(dim=1)

    def answered(self) -> Tensor:
        """Return which rows have a supervised label, `(B,)` bool: all that metrics count.

        Example:
            >>> labels = torch.tensor([[[0.5], [torch.nan]], [[torch.nan], [torch.nan]]])
            >>> Batch(torch.zeros(2, 2, 1), labels, torch.zeros(2)).answered()
            tensor([ True, False])
        """
        return supervised(self.labels).flatten(1).any(dim=1)


class Segment(NamedTuple):
    """What one segment computed: all that a halting policy may look at.

    Attributes:
        before: Answer on entry, `(B, N, D)`, without gradient.
        answer: Answer on exit, `(B, N, D)`, with gradient in training.
        logits: Read-out of the answer, `(B, L, V)` float32 (float64 for a float64 model); numbers `(B, L, G)`
            where answers are no tokens.
    """

    before: Tensor
    answer: Tensor
    logits: Tensor


class Outcome(NamedTuple):
    """What a halting loss may learn from.

    Attributes:
        correct: Whether the answer is right, as the loss says, `(B,)` bool.
        last: Whether the slot has reached the cap on segments, `(B,)` bool.
        next_score: Scores after one more segment, `(B, K)`, only for policies with `needs_lookahead`.
    """

    correct: Tensor
    last: Tensor
    next_score: Tensor | None


class Carry(NamedTuple):
    """What the slots keep from one training step to the next; no tensor in it carries gradient then.

    Attributes:
        state: The refiner's state, batch-first.
        batch: The sample that each slot is working on.
        age: Segments spent on that sample, `(B,)` int32.
        halted: Whether the slot takes a fresh sample next, `(B,)` bool.
        guess: What the next segment is told of the answer, `(B, L, V)` float32; None without feedback.
    """

    state: State
    batch: Batch
    age: Tensor
    halted: Tensor
    guess: Tensor | None = None


class Judged(NamedTuple):
    """How one segment did on each slot; see `Recursion.judge`.

    Attributes:
        loss: Loss per supervised token, `(B,)`.
        halting: Halting loss, `(B,)`.
        correct: Whether the answer is right, `(B,)` bool.
    """

    loss: Tensor
    halting: Tensor
    correct: Tensor

    def total(self, halting_weight: float) -> Tensor:
        """Return `loss + halting_weight * halting` of each slot, `(B,)`."""
        return self.loss + halting_weight * self.halting


class Learnt(NamedTuple):
    """What a training step leaves; see `Recursion.learn` and `Supervision.step`.

    Attributes:
        carry: Carry for the next step, without gradient; its halted slots take a fresh sample.
        loss: Loss to differentiate, the mean over slots, 0-d.
        segment: What the last segment computed.
        correct: Whether each slot's answer is right, `(B,)` bool; of a slot that halted, at that moment.
    """

    carry: Carry
    loss: Tensor
    segment: Segment
    correct: Tensor


class Prediction(NamedTuple):
    """Where each row stopped.

    Attributes:
        logits: Read-out at the segment where the row stopped, `(B, L, V)` float32, or numbers `(B, L, G)`.
        segments: Segments spent, `(B,)` int32.
        halted: Whether the policy stopped the row, `(B,)` bool; False where the cap did.
        confidence: The policy's probability that the answer is right, `(B,)` float32; 0 where it does
            not judge.
    """

    logits: Tensor
    segments: Tensor
    halted: Tensor
    confidence: Tensor

"""The stopping contract: when a row of an evaluation has thought enough."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from torch import Tensor

from recurlight.halting.base import Halting
from recurlight.spec import Recorded
from recurlight.spec.given import within
from recurlight.types import Segment, Sizes

__all__ = ["Seen", "Stopping", "require_share"]


class Seen(NamedTuple):
    """What a stopping rule may look at after a segment.

    Attributes:
        segment: What the segment computed.
        answer: Its answer, tokens `(B, L)` int64, or numbers `(B, L, G)`.
        halts: Whether the halting policy would stop the row, as in training, `(B,)` bool.
        confidence: The policy's probability that the answer is right, `(B,)`; 0 where it does not judge.
        age: Segments spent, `(B,)` int32, at least 1.
        filled: Where questions hold something, see `Encoder.filled_positions`, `(B, L)` bool.
    """

    segment: Segment
    answer: Tensor
    halts: Tensor
    confidence: Tensor
    age: Tensor
    filled: Tensor


class Stopping(Recorded, ABC):
    """When a row of an adaptive evaluation has thought enough, for any trained model.

    A rule learns nothing and may be another than the halting policy of training. What it keeps from segment
    to segment is its memory, a tree of `(B, ...)` tensors: rows that stopped leave it as they leave the
    batch. Write one method, `look`, which treats each row by itself.
    """

    def check(self, halting: Halting, sizes: Sizes) -> None:  # most rules take every model
        """Refuse a model that the rule cannot stop.

        Raises:
            IncompatibleComponents: With what to set instead.
        """

    @abstractmethod
    def look(self, seen: Seen, memory: Any) -> tuple[Tensor, Any]:
        """Decide after a segment.

        Args:
            seen: The segment; what is remembered of a row whose age is 1 is of another sample.
            memory: What the rule returned for the segment before; None after the first.

        Returns:
            Which rows stop, `(B,)` bool, and what to remember.
        """


def require_share(owner: str, threshold: float) -> None:
    """Refuse a threshold that is no probability; no confidence is above 1, so that nothing stops there.

    Raises:
        IncompatibleComponents: It is not from 0 to 1.
    """
    within(owner, "threshold", threshold, 0, 1)

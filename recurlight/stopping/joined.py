"""Two stopping rules in one."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from recurlight.halting.base import Halting
from recurlight.stopping.base import Seen, Stopping
from recurlight.types import Sizes

__all__ = ["Both", "Either"]


@dataclass(frozen=True)
class _Joined(Stopping):
    """Asks two rules about every segment."""

    first: Stopping
    second: Stopping

    @abstractmethod
    def join(self, first: Tensor, second: Tensor) -> Tensor:
        """Make one decision of two, `(B,)` bool each."""

    def check(self, halting: Halting, sizes: Sizes) -> None:
        """Refuse what one of them refuses."""
        self.first.check(halting, sizes)
        self.second.check(halting, sizes)

    def look(self, seen: Seen, memory: Any) -> tuple[Tensor, Any]:
        """Ask both, each with a memory of its own."""
        mine, theirs = memory or (None, None)
        one, mine = self.first.look(seen, mine)
        other, theirs = self.second.look(seen, theirs)
        return self.join(one, other), (mine, theirs)


@dataclass(frozen=True)
class Both(_Joined):
    """Stop when both rules say so after the same segment.

    `stop where first and second`

    The more careful way to join two rules; see `Either` for the quicker one.

    Args:
        first: Any rule.
        second: Any other.

    Example:
        >>> from recurlight import ConfidentAnswer, StableAnswer
        >>> Both(StableAnswer(), ConfidentAnswer(0.5))
        Both(first=StableAnswer(patience=1, tolerance=0.01), second=ConfidentAnswer(threshold=0.5))
    """

    def join(self, first: Tensor, second: Tensor) -> Tensor:
        """Return where both stop."""
        return first & second


@dataclass(frozen=True)
class Either(_Joined):
    """Stop when one of two rules says so.

    `stop where first or second`

    Args:
        first: Any rule.
        second: Any other.

    Example:
        >>> from recurlight import ConfidentJudge, StableAnswer
        >>> Either(ConfidentJudge(0.99), StableAnswer(2)).second.patience
        2
    """

    def join(self, first: Tensor, second: Tensor) -> Tensor:
        """Return where one of them stops."""
        return first | second

"""Stopping by the answer alone, which every model has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.halting.base import Halting
from recurlight.numerics import relative_change
from recurlight.spec.given import within
from recurlight.stopping.base import Seen, Stopping, require_share
from recurlight.types import Sizes

__all__ = ["ConfidentAnswer", "Kept", "StableAnswer"]


class Kept(NamedTuple):
    """What `StableAnswer` remembers.

    Attributes:
        answer: Answer of the segment before, tokens `(B, L)` int64, or numbers `(B, L, G)`.
        times: Segments in a row that have not changed it, `(B,)` int32.
    """

    answer: Tensor
    times: Tensor


@dataclass(frozen=True)
class StableAnswer(Stopping):
    """Stop when the answer has stayed the same for `patience` segments.

    `stop after segment s where answer_s = answer_(s-1) = ... = answer_(s - patience)`

    Tokens are the same where all of them are; numbers where the change is below `tolerance`, relative to
    their norm. It takes any model, and costs `patience` segments beyond the last change. All tokens count,
    also those that nobody supervises: where these go on changing, a row only takes longer. `ConfidentJudge`
    is quicker where a model has learnt to judge itself.

    Args:
        patience: Segments without a change, at least 1.
        tolerance: Relative change below which numbers are the same, above 0.

    Raises:
        IncompatibleComponents: A number is out of range.

    Example:
        >>> import torch
        >>> from recurlight import Segment
        >>> answer, age = torch.ones(2, 16, dtype=torch.int64), torch.ones(2, dtype=torch.int32)
        >>> seen = Seen(Segment(*3 * [torch.zeros(2, 16, 6)]), answer, age > 1, age / 2, age, answer > 0)
        >>> rule = StableAnswer()
        >>> _, memory = rule.look(seen, None)
        >>> rule.look(seen._replace(age=age + 1), memory)[0]
        tensor([True, True])

    Reference:
        Bansal et al., End-to-end algorithm synthesis with recurrent networks (arXiv:2202.05826), whose
        answers stay once they are found.
    """

    patience: int = 1
    tolerance: float = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        within("StableAnswer", "patience", self.patience, 1)
        within("StableAnswer", "tolerance", self.tolerance, above=0)

    def look(self, seen: Seen, memory: Kept | None) -> tuple[Tensor, Kept]:
        """Compare the answer with the one before."""
        if memory is None:
            return seen.age < 1, Kept(seen.answer, torch.zeros_like(seen.age))
        same = self._same(memory.answer, seen.answer) & (seen.age > 1)
        times = (memory.times + 1).where(same, 0)
        return times >= self.patience, Kept(seen.answer, times)

    def _same(self, before: Tensor, after: Tensor) -> Tensor:
        """Tell which answers are the same, `(B,)` bool."""
        if after.is_floating_point():
            return relative_change(before, after) < self.tolerance
        return (before == after).all(dim=1)


@dataclass(frozen=True)
class ConfidentAnswer(Stopping):
    """Stop when every token of the answer is likely enough.

    `stop where min over filled positions of max softmax(logits) > threshold`

    It asks for one segment at least, and takes any model whose answers are tokens. Positions of padding do
    not count. How likely is likely enough is the model's matter: `recurlight test` with `eval_adaptive` shows
    what a threshold costs. `StableAnswer` has nothing to choose.

    Args:
        threshold: Lowest probability of a token, from 0 to 1, where nothing stops.

    Raises:
        IncompatibleComponents: The threshold is out of range, or answers are numbers.

    Example:
        >>> ConfidentAnswer(threshold=0.99)
        ConfidentAnswer(threshold=0.99)

    Reference:
        Schuster et al., Confident adaptive language modeling (arXiv:2207.07061), which stops by the softmax.
    """

    threshold: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        require_share("ConfidentAnswer", self.threshold)

    def check(self, halting: Halting, sizes: Sizes) -> None:
        """Refuse answers that are numbers: these have no probability."""
        if sizes.targets:
            raise IncompatibleComponents(
                "ConfidentAnswer stops by the probability of tokens, and the answers are numbers: "
                "set model.eval_halting to StableAnswer"
            )

    def look(self, seen: Seen, memory: None) -> tuple[Tensor, None]:
        """Find the least likely token of each answer."""
        likely = seen.segment.logits.softmax(dim=-1).amax(dim=-1)  # (B, L)
        return likely.masked_fill(~seen.filled, 1).amin(dim=1) > self.threshold, None

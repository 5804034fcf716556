"""A stopping rule that looks on: what of a chain's end a prediction does not tell."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from recurlight.numerics import relative_change
from recurlight.stopping import Seen, Stopping

__all__ = ["Watched"]


@final
class Watched(Stopping):
    """Stops as another rule does, and keeps the residual of each row's last segment.

    Args:
        rule: The other rule.
    """

    def __init__(self, rule: Stopping) -> None:
        super().__init__()
        self.rule = rule
        self.residual = torch.zeros(0)
        """Relative change of the answer's state, `(B,)`, of all rows of the batch."""

    def look(self, seen: Seen, memory: Any) -> tuple[Tensor, Any]:
        """Do as the rule does; rows that left the batch keep their residual."""
        change = relative_change(seen.segment.before, seen.segment.answer)
        if memory is None:
            memory, self.residual = (torch.arange(len(change), device=change.device), None), change
        rows, theirs = memory
        self.residual = self.residual.index_copy(0, rows, change)
        stops, theirs = self.rule.look(seen, theirs)
        return stops, (rows, theirs)

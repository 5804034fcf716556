"""A stopping rule for tasks whose answers can be checked: an answer that holds is kept."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor

from recurlight.data.rules import Rules
from recurlight.stopping import Seen, Stopping

__all__ = ["Holding"]


@final
class Holding(Stopping):
    """Stops where the answer keeps the rules of the task, and elsewhere as another rule does.

    `stop after segment s where rules.holds(question, answer_s)`

    Args:
        rules: Of the task.
        questions: As the chain asks them, `(B, L)` tokens, in the order of the batch.
        otherwise: The other rule; None for none.
    """

    def __init__(self, rules: Rules, questions: Tensor, otherwise: Stopping | None) -> None:
        super().__init__()
        self.rules, self.questions, self.otherwise = rules, questions, otherwise

    def look(self, seen: Seen, memory: Any) -> tuple[Tensor, Any]:
        """Ask the rules; the questions go where their rows go."""
        questions, theirs = (self.questions, None) if memory is None else memory
        stops = self.rules.holds(questions, seen.answer)
        if self.otherwise is not None:
            others, theirs = self.otherwise.look(seen, theirs)
            stops = stops | others
        return stops, (questions, theirs)

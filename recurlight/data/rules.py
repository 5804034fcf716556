"""Rules that tell right answers from wrong ones without knowing the right one."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from recurlight.spec import Recorded

__all__ = ["Rules"]


class Rules(Recorded, ABC):
    """What an answer must satisfy to solve its question; `PuzzleData.rules` supplies it.

    No answer key is asked: where a question has several right answers, all of them hold. So rules can choose
    among many tries at a question that nobody has solved. They may hold of an answer that the labels do not
    have, and exact accuracy then counts it as wrong.
    """

    @abstractmethod
    def holds(self, questions: Tensor, answers: Tensor) -> Tensor:
        """Tell which answers solve their questions, each row by itself.

        Args:
            questions: Tokens, `(B, L)` int64, on any device; a row of padding, zeros all over, may be among
                them, and of that nothing is asked.
            answers: Tokens, `(B, L)` int64, any at all: a wrong one is no error. Cells in which the task
                supervises nothing are not looked at.

        Returns:
            `(B,)` bool on the device of the answers.
        """

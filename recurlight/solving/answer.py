"""What a trained model answers to one question."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from recurlight.errors import DataError
from recurlight.rendering.wording import Wording

__all__ = ["Answer", "Piece"]


class Piece(NamedTuple):
    """What one token adds to a text that is written, see `Solver.generate`.

    Attributes:
        text: Empty where a character is not complete yet.
        segments: Segments of reasoning spent on it.
        confidence: Probability that it is right, by the model's own judgement; None where it does not judge.
    """

    text: str
    segments: int
    confidence: float | None


@dataclass(frozen=True)
class Answer:
    """The answer to one question, see `Solver.solve`.

    Args:
        question: Tokens, `(L,)` int64, or numbers `(L, F)`.
        tokens: Tokens of the answer, `(L,)` int64, 0 or the question where it has no cell; or numbers,
            `(L, G)` float32.
        text: The answer in the symbols of the task; None where the checkpoint does not tell these.
        segments: Segments of reasoning spent on it.
        confidence: Probability that it is right, by the model's own judgement; None for a model that has not
            learnt to judge.
        holds: Whether the rules of the task hold; None for a task without rules.

    Example:
        >>> import torch
        >>> asked, found, wording = torch.tensor([1, 1]), torch.tensor([2, 3]), Wording((1, 2), tuple("._12"))
        >>> print(Answer(asked, found, "12", segments=4, wording=wording).picture())
        1 2
    """

    question: Tensor
    tokens: Tensor
    text: str | None
    segments: int
    confidence: float | None = None
    holds: bool | None = None
    wording: Wording | None = field(default=None, repr=False)

    def picture(self) -> str:
        """Draw the answer as the task shows it in a terminal.

        Raises:
            DataError: It is of numbers, or the checkpoint does not tell how its questions are written.
        """
        if self.wording is None:
            raise DataError("the checkpoint does not tell how this answer is written: look at its tokens")
        return self.wording.picture(self.tokens.tolist())

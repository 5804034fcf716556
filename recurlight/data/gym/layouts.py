"""How questions and answers of unequal length lie in rows of one length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurlight.rendering.looks import Looks
from recurlight.rendering.wording import Wording, up_to_end
from recurlight.types import IGNORE

__all__ = ["CausalLayout", "Layout", "SeparateLayout"]

Tokens = Sequence[int]


class Layout(ABC):
    """Where the tokens of a question and of its answer stand; token 0 fills rows up and ends answers.

    Args:
        symbols: Size of the alphabet, whose tokens are 1, 2, ...
    """

    extra: Sequence[str] = ()
    """Texts of tokens beyond the alphabet."""
    next_token = False
    """Whether a position's answer stands at the next one, see `PuzzleData`."""

    def __init__(self, symbols: int) -> None:
        self.symbols = symbols

    @abstractmethod
    def places(self, question: int, answer: int) -> int:
        """Return how many positions a question and an answer of so many tokens take."""

    @abstractmethod
    def row(self, question: Tokens, answer: Tokens, everywhere: bool) -> tuple[Tokens, Tokens]:
        """Return inputs and labels, as long as they are."""

    @abstractmethod
    def answer(self, tokens: Tokens, labels: Tokens) -> Tokens | None:
        """Return the answer that a model gives, without its end; None where that cannot be told.

        Args:
            tokens: What it predicts at each position.
            labels: What is right there.
        """

    @abstractmethod
    def shown(self, tokens: Tensor, supervised: Tensor) -> Tensor:
        """Return answers as they are drawn, `(B, L)` tokens; see `Drawable.shown`."""

    @abstractmethod
    def wording(self, looks: Looks) -> Wording:
        """Return how a model is asked."""

    @final
    def laid(
        self, pairs: Sequence[tuple[Tokens, Tokens]], length: int, everywhere: bool = False
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Lay questions and answers out.

        Args:
            pairs: Questions and answers, as tokens.
            length: Positions `L`.
            everywhere: Supervise all that can be predicted, not the answers only.

        Returns:
            Inputs and labels, `(n, L)`.
        """
        inputs = np.zeros((len(pairs), length), dtype=np.int32)
        labels = np.full((len(pairs), length), IGNORE, dtype=np.int32)
        for number, pair in enumerate(pairs):
            for laid, row in zip((inputs, labels), self.row(*pair, everywhere), strict=True):
                laid[number, : len(row)] = row
        return inputs, labels


class SeparateLayout(Layout):
    """The question is the row, and the answer is written where it stands, from the first position on.

    Example:
        >>> inputs, labels = SeparateLayout(symbols=3).laid([([1, 2, 2, 1], [3]), ([2], [1, 3])], length=5)
        >>> inputs.tolist(), labels.tolist()
        ([[1, 2, 2, 1, 0], [2, 0, 0, 0, 0]], [[3, 0, -100, -100, -100], [1, 3, 0, -100, -100]])
    """

    def places(self, question: int, answer: int) -> int:
        """Return the longer of both, the end of the answer included."""
        return max(question, answer + 1)

    def row(self, question: Tokens, answer: Tokens, everywhere: bool) -> tuple[Tokens, Tokens]:
        """Return the question, and the answer with its end."""
        return question, [*answer, 0]

    def answer(self, tokens: Tokens, labels: Tokens) -> Tokens | None:
        """Return what is predicted up to its first end."""
        return _to_end(tokens)

    def shown(self, tokens: Tensor, supervised: Tensor) -> Tensor:
        """Return answers up to where they end."""
        return up_to_end(tokens, (1, tokens.shape[1]))

    def wording(self, looks: Looks) -> Wording:
        """Questions are read as they are; answers end where they say."""
        return Wording.of(looks, self.symbols + 1, padded=True, ends=True, verbatim="characters")


class CausalLayout(Layout):
    """Question, separator, answer and end in one row, of which each position predicts the next.

    Example:
        >>> inputs, labels = CausalLayout(symbols=3).laid([([1, 2], [3])], length=6)
        >>> inputs.tolist(), labels.tolist()
        ([[1, 2, 4, 3, 0, 0]], [[-100, -100, 3, 0, -100, -100]])
        >>> CausalLayout(symbols=3).laid([([1, 2], [3])], length=6, everywhere=True)[1].tolist()
        [[2, 4, 3, 0, -100, -100]]
    """

    extra = ("\n",)
    next_token = True

    @property
    def separator(self) -> int:
        """Its token."""
        return self.symbols + 1

    def places(self, question: int, answer: int) -> int:
        """Return the sum of both and the separator; the end is only predicted."""
        return question + 1 + answer

    def row(self, question: Tokens, answer: Tokens, everywhere: bool) -> tuple[Tokens, Tokens]:
        """Return all but the end, and all but the first."""
        whole = [*question, self.separator, *answer, 0]
        labels = whole[1:] if everywhere else [*[IGNORE] * len(question), *whole[len(question) + 1 :]]
        return whole[:-1], labels

    def answer(self, tokens: Tokens, labels: Tokens) -> Tokens | None:
        """Return the answer that writing token by token gives, as far as it is known.

        Each token is predicted after the right ones. Up to the first wrong one they are those that would be
        written; if that one is the end, or none is wrong, the answer is known, otherwise what comes after it
        is not.
        """
        pairs = [(token, label) for token, label in zip(tokens, labels, strict=True) if label != IGNORE]
        said = [token for token, _ in pairs]
        wrong = next((place for place, (token, label) in enumerate(pairs) if token != label), None)
        return _to_end(said) if wrong is None or not said[wrong] else None

    def shown(self, tokens: Tensor, supervised: Tensor) -> Tensor:
        """Return what is predicted where the answer stands."""
        return torch.where(supervised, tokens, 0)

    def wording(self, looks: Looks) -> Wording:
        """Questions are read as they are, and the answer is written after the separator."""
        separator = self.separator
        return Wording.of(
            looks,
            separator + 1,
            padded=True,
            verbatim="characters",
            unasked=(separator,),
            separator=separator,
        )


def _to_end(tokens: Tokens) -> Tokens:
    return tokens[: next((place for place, token in enumerate(tokens) if not token), len(tokens))]

"""How the answers of a model score by their task's own rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurlight.metrics.shares import SharesBySegments
from recurlight.types import Batch, Prediction

__all__ = ["AnswerScores"]


class AnswerScores(SharesBySegments):
    """Mean score of answers, and share of answers with the full score, after 1, 2, 4, ... segments.

    - `score_at_s`: mean of the scores, from 0 to 1;
    - `solved_at_s`: share of the answers whose score is 1.

    Exact accuracy asks for the answer that the task gives. Where others are right too, or partly right, the
    score says so. A row is known by its question, wherever it lies in a batch.

    Args:
        questions: All questions that may be asked, `(n, L)` tokens, all different.
        answer: `(predicted tokens, labels) -> tokens of the answer`, or None for an answer that is not known
            and scores 0.
        texts: Text of each token.
        score: `(row of the question, text of the answer) -> score`.

    Example:
        >>> questions, spent = torch.tensor([[1, 2], [2, 1]]), torch.ones(2, dtype=torch.int64)
        >>> metric = AnswerScores(questions.numpy(), lambda tokens, labels: tokens, " ab",
        ...     lambda row, text: (text == "ab") / (row + 1))
        >>> said = torch.eye(3)[torch.tensor([[1, 2], [1, 2]])]
        >>> batch = Batch(questions.flip(0), questions, spent)
        >>> metric.update(batch, Prediction(said, spent, spent > 1, spent / 1), segments=1)
        >>> metric.compute()
        {'score_at_1': tensor(0.7500), 'solved_at_1': tensor(0.5000)}
    """

    counts_in = torch.float32

    def __init__(
        self,
        questions: NDArray[Any],
        answer: Callable[[Sequence[int], Sequence[int]], Sequence[int] | None],
        texts: Sequence[str],
        score: Callable[[int, str], float],
    ) -> None:
        super().__init__(["score", "solved"])
        self.places = {tuple(row): number for number, row in enumerate(np.asarray(questions).tolist())}
        self.answer, self.texts, self.score = answer, texts, score

    def count(self, batch: Batch, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Return the sum of the scores and the full ones, and all answers, `(2,)` each."""
        rows = batch.answered()
        said = prediction.logits.argmax(dim=-1)
        fields = (field[rows].tolist() for field in (batch.inputs, said, batch.labels))
        scores = [self._score(*row) for row in zip(*fields, strict=True)]
        sums = torch.tensor([sum(scores), sum(score >= 1 for score in scores)], dtype=self.counts_in)
        return sums.to(self.rows.device), self.rows.new_tensor([len(scores)] * 2)

    def _score(self, question: list[int], said: list[int], labels: list[int]) -> float:
        tokens = self.answer(said, labels)
        if tokens is None:
            return 0.0
        return self.score(self.places[tuple(question)], "".join(self.texts[token] for token in tokens))

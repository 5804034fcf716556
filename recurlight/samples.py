"""Single samples out of batches, and how they look in a terminal."""

from __future__ import annotations

from itertools import zip_longest
from typing import NamedTuple

import torch

from recurlight.data.base import PuzzleData
from recurlight.types import IGNORE, Batch, Prediction

__all__ = ["Sample", "samples", "side_by_side", "titles"]

_RED, _PLAIN = "\x1b[1;31m", "\x1b[0m"
_GAP = "   "


class Sample(NamedTuple):
    """One sample as lists of `L` tokens; where nothing is supervised, all three show the question."""

    question: list[int]
    prediction: list[int]
    answer: list[int]
    wrong: list[bool]
    """Where the prediction differs from the answer."""


def samples(batch: Batch, prediction: Prediction, count: int) -> list[Sample]:
    """Return the first samples of a batch, without padding rows.

    Args:
        batch: Questions and answers, `(B, ...)`.
        prediction: Where each row stands.
        count: Number of samples; fewer where the batch has fewer.

    Example:
        >>> batch = Batch(torch.tensor([[1, 1]]), torch.tensor([[2, IGNORE]]), torch.tensor([0]))
        >>> logits = torch.eye(3)[torch.tensor([[0, 2]])]
        >>> samples(batch, Prediction(logits, batch.task, batch.task, batch.task), 1)
        [Sample(question=[1, 1], prediction=[0, 1], answer=[2, 1], wrong=[True, False])]
    """
    rows = (batch.labels != IGNORE).any(dim=1).nonzero().squeeze(1)[:count]
    questions, labels = batch.inputs[rows], batch.labels[rows]
    supervised = labels != IGNORE
    answers = torch.where(supervised, labels, questions)
    predictions = torch.where(supervised, prediction.logits[rows].argmax(dim=-1), questions)
    parts = (questions, predictions, answers, predictions != answers)
    return [Sample(*fields) for fields in zip(*(part.tolist() for part in parts), strict=True)]


def titles(sample: Sample) -> tuple[str, str, str]:
    """Return what stands over question, prediction and answer."""
    count = sum(sample.wrong)
    return "question", f"prediction, {f'{count} wrong' if count else 'right'}", "answer"


def side_by_side(data: PuzzleData, sample: Sample, color: bool = False) -> str:
    """Draw question, prediction and answer beside each other, wrong characters of the prediction marked.

    Args:
        data: Renders the tokens.
        sample: What to draw.
        color: Mark by making red, for terminals; otherwise by `x`, which hides what was predicted.

    Example:
        >>> from recurlight.data import SudokuData
        >>> right = [2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 4, 5, 4, 3, 2]
        >>> wrong = [False] * 15 + [True]
        >>> print(side_by_side(SudokuData(size=4), Sample([1] * 15 + [2], right[:15] + [4], right, wrong)))
        question    prediction, 1 wrong   answer
        . . | . .   1 2 | 3 4             1 2 | 3 4
        . . | . .   3 4 | 1 2             3 4 | 1 2
        ----+----   ----+----             ----+----
        . . | . .   2 1 | 4 3             2 1 | 4 3
        . . | . 1   4 3 | 2 x             4 3 | 2 1
    """
    panels = [data.render(tokens).splitlines() for tokens in sample[:3]]
    heads = titles(sample)
    widths = [max(map(len, (head, *panel))) for head, panel in zip(heads, panels, strict=True)]
    lines = [_GAP.join(head.ljust(width) for head, width in zip(heads, widths, strict=True))]
    for question, prediction, answer in zip_longest(*panels, fillvalue=""):
        marked = _marked(prediction, answer, color) + " " * (widths[1] - len(prediction))
        lines.append(_GAP.join((question.ljust(widths[0]), marked, answer)))
    return "\n".join(line.rstrip() for line in lines)


def _marked(line: str, right: str, color: bool) -> str:
    """Mark the characters of a line that differ from the right ones."""
    marked = []
    for own, other in zip(line, right.ljust(len(line)), strict=False):
        red = f"{_RED}{own}{_PLAIN}" if color and own != " " else "x"
        marked.append(own if own == other else red)
    return "".join(marked)

"""Single samples out of batches, and how they look in a terminal."""

from __future__ import annotations

from itertools import zip_longest
from typing import NamedTuple

from torch import Tensor

from recurlight.rendering.looks import Drawable, laid_over
from recurlight.types import IGNORE, Batch, Prediction

__all__ = ["Sample", "samples", "shown_prediction", "side_by_side", "titles"]

_RED, _PLAIN = "\x1b[1;31m", "\x1b[0m"
_GAP = "   "


class Sample(NamedTuple):
    """One sample as lists of `L` tokens, the predicted and the right answer as the data show them."""

    question: list[int]
    prediction: list[int]
    answer: list[int]
    """Empty where it is not known."""
    wrong: list[bool]
    """Where the prediction differs from the answer; nowhere where that is not known."""


def shown_prediction(question: Tensor, labels: Tensor, logits: Tensor, data: Drawable | None) -> Tensor:
    """Return predictions as they are shown, `(B, L)` tokens: whole where the answer is not known.

    Args:
        question: `(B, L)` tokens.
        labels: `(B, L)` tokens.
        logits: `(B, L, V)`.
        data: See `samples`.
    """
    supervised = labels != IGNORE
    counts = supervised | ~supervised.any(dim=1, keepdim=True)
    complete = laid_over if data is None else data.shown
    return complete(question, logits.argmax(dim=-1), counts)


def samples(batch: Batch, prediction: Prediction, count: int, data: Drawable | None = None) -> list[Sample]:
    """Return the first samples of a batch, without padding rows.

    Args:
        batch: Questions and answers, `(B, ...)`.
        prediction: Where each row stands.
        count: Number of samples; fewer where the batch has fewer.
        data: Says what is shown of an answer, see `Drawable.shown`; None for the question where nothing is
            supervised.

    Example:
        >>> import torch
        >>> batch = Batch(torch.tensor([[1, 1]]), torch.tensor([[2, IGNORE]]), torch.tensor([0]))
        >>> logits = torch.eye(3)[torch.tensor([[0, 2]])]
        >>> samples(batch, Prediction(logits, batch.task, batch.task, batch.task), 1)
        [Sample(question=[1, 1], prediction=[0, 1], answer=[2, 1], wrong=[True, False])]
    """
    rows = batch.asked().nonzero().squeeze(1)[:count]
    questions, labels = batch.inputs[rows], batch.labels[rows]
    supervised = labels != IGNORE
    known = supervised.any(dim=1, keepdim=True)
    complete = laid_over if data is None else data.shown
    answers = complete(questions, labels.clamp(min=0), supervised)
    predictions = shown_prediction(questions, labels, prediction.logits[rows], data)
    parts = (questions, predictions, answers, known & (predictions != answers))
    answered = known[:, 0].tolist()
    found = (Sample(*fields) for fields in zip(*(part.tolist() for part in parts), strict=True))
    return [one if told else one._replace(answer=[]) for one, told in zip(found, answered, strict=True)]


def titles(sample: Sample) -> tuple[str, str, str]:
    """Return what stands over question, prediction and answer."""
    count = sum(sample.wrong)
    judged = f", {f'{count} wrong' if count else 'right'}" if sample.answer else ""
    return "question", f"prediction{judged}", "answer" if sample.answer else "answer not known"


def side_by_side(data: Drawable, sample: Sample, color: bool = False) -> str:
    """Draw question, prediction and answer beside each other, wrong characters of the prediction marked.

    An answer that is not known is left out.

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
    panels = [data.render(tokens).splitlines() if tokens else [] for tokens in sample[:3]]
    heads = titles(sample)
    widths = [max(map(len, (head, *panel))) for head, panel in zip(heads, panels, strict=True)]
    lines = [_GAP.join(head.ljust(width) for head, width in zip(heads, widths, strict=True))]
    for question, prediction, answer in zip_longest(*panels, fillvalue=""):
        marked = _marked(prediction, answer, color) if sample.answer else prediction
        marked += " " * (widths[1] - len(prediction))
        lines.append(_GAP.join((question.ljust(widths[0]), marked, answer)))
    return "\n".join(line.rstrip() for line in lines)


def _marked(line: str, right: str, color: bool) -> str:
    """Mark the characters of a line that differ from the right ones."""
    marked = []
    for own, other in zip(line, right.ljust(len(line)), strict=False):
        red = f"{_RED}{own}{_PLAIN}" if color and own != " " else "x"
        marked.append(own if own == other else red)
    return "".join(marked)

"""Single samples out of batches, and how they look in a terminal."""

from __future__ import annotations

from itertools import zip_longest
from typing import NamedTuple

from torch import Tensor

from recurlight.losses import relative_error
from recurlight.rendering.looks import Drawable, laid_over
from recurlight.types import Batch, Prediction, supervised

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
    """Where the prediction differs from the answer; nowhere where that is not known, or is of numbers."""
    error: float | None = None
    """Relative L2 error of the prediction, where the answer is of numbers and known."""


def shown_prediction(batch: Batch, logits: Tensor, data: Drawable | None) -> Tensor:
    """Return predictions as they are shown, `(B, L)` tokens: whole where the answer is not known.

    Args:
        batch: Questions and answers, `(B, ...)`.
        logits: `(B, L, V)`, or numbers `(B, L, G)`.
        data: See `samples`.
    """
    counts = _counts(batch.labels)
    counts = counts | ~counts.any(dim=1, keepdim=True)
    output = _drawn(logits, data) if batch.labels.is_floating_point() else logits.argmax(dim=-1)
    complete = laid_over if data is None else data.shown
    return complete(_drawn(batch.inputs, data), output, counts)


def samples(batch: Batch, prediction: Prediction, count: int, data: Drawable | None = None) -> list[Sample]:
    """Return the first samples of a batch, without padding rows.

    Args:
        batch: Questions and answers, `(B, ...)`.
        prediction: Where each row stands.
        count: Number of samples; fewer where the batch has fewer.
        data: Says what is shown of an answer, see `Drawable.shown`, and as which tokens numbers are drawn,
            see `Drawable.levels`; None for the question where nothing is supervised, of tokens alone.

    Example:
        >>> import torch
        >>> batch = Batch(torch.tensor([[1, 1]]), torch.tensor([[2, -100]]), torch.tensor([0]))
        >>> logits = torch.eye(3)[torch.tensor([[0, 2]])]
        >>> samples(batch, Prediction(logits, batch.task, batch.task, batch.task), 1)
        [Sample(question=[1, 1], prediction=[0, 1], answer=[2, 1], wrong=[True, False], error=None)]
    """
    rows = batch.asked().nonzero().squeeze(1)[:count]
    batch, logits = Batch(*(field[rows] for field in batch)), prediction.logits[rows]
    numbers, counts = batch.labels.is_floating_point(), _counts(batch.labels)
    known = counts.any(dim=1, keepdim=True)
    complete = laid_over if data is None else data.shown
    question, labels = (_drawn(cells, data) for cells in (batch.inputs, batch.labels))
    answers = complete(question, labels.clamp(min=0), counts)
    predictions = shown_prediction(batch, logits, data)
    wrong = known & (predictions != answers) & (not numbers)
    errors = relative_error(logits, batch.labels).tolist() if numbers else [None] * len(rows)
    parts = [part.tolist() for part in (question, predictions, answers, wrong)]
    found = [Sample(*fields) for fields in zip(*parts, errors, strict=True)]
    told = known[:, 0].tolist()
    return [
        one if known else one._replace(answer=[], error=None) for one, known in zip(found, told, strict=True)
    ]


def _counts(labels: Tensor) -> Tensor:
    """Tell which cells have a supervised label, `(B, L)` bool."""
    counted = supervised(labels)
    return counted.any(dim=2) if counted.ndim > 2 else counted


def _drawn(cells: Tensor, data: Drawable | None) -> Tensor:
    """Return tokens as they are, and numbers as the tokens as which they are drawn, `(B, L)`."""
    return data.levels(cells) if data is not None and cells.is_floating_point() else cells


def titles(sample: Sample) -> tuple[str, str, str]:
    """Return what stands over question, prediction and answer."""
    count = sum(sample.wrong)
    judged = f", {f'{count} wrong' if count else 'right'}" if sample.answer else ""
    judged = judged if sample.error is None else f", error {sample.error:.1%}"
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
        judged = sample.answer and sample.error is None
        marked = _marked(prediction, answer, color) if judged else prediction
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

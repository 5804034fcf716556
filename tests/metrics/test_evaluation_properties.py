"""Metrics against counts over the split, for any ragged last batch and any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recurlight.data.puzzles import Puzzles
from recurlight.data.stream import EvaluationBatches, Share
from recurlight.losses import SoftmaxCrossEntropy
from recurlight.metrics.evaluation import Evaluation
from recurlight.types import IGNORE, Batch, Prediction

TOKENS = 3


def puzzles(count: int) -> Puzzles:
    """Puzzle `i` asks with its number; some tokens are not supervised, and never a whole row."""
    inputs = np.arange(count)[:, None].repeat(TOKENS, axis=1)
    labels = inputs % 2
    labels[:, 0] = np.where(inputs[:, 0] % 3 == 0, IGNORE, labels[:, 0])
    return Puzzles(inputs, labels, np.zeros(count, dtype=np.int64))


def wrong_tokens(number: int, segment: int) -> int:
    """How many tokens, from the last, the answer to a puzzle has wrong after a segment."""
    return (number * 7 + segment * 5) % (TOKENS + 1)


def predictions(batch: Batch):
    for segment in (1, 2):
        tokens = batch.inputs % 2
        for row, number in enumerate(batch.inputs[:, 0].tolist()):
            wrong = wrong_tokens(number, segment)
            tokens[row, TOKENS - wrong :] = 1 - tokens[row, TOKENS - wrong :]
        logits = torch.nn.functional.one_hot(tokens, 2).float()
        halted = batch.inputs[:, 0] % 2 == 0
        yield Prediction(logits, torch.where(halted, 1, 2).int(), halted, halted.float())


def counted(count: int) -> dict[str, float]:
    """The figures over the whole split, in plain Python."""
    supervised = [TOKENS - (number % 3 == 0) for number in range(count)]
    wrong = {
        segment: [min(wrong_tokens(n, segment), supervised[n]) for n in range(count)] for segment in (1, 2)
    }
    exact = {segment: [not w for w in each] for segment, each in wrong.items()}
    halted = [number % 2 == 0 for number in range(count)]
    both = sum(right and stop for right, stop in zip(exact[2], halted, strict=True))
    return {
        "exact_at_1": sum(exact[1]) / count,
        "exact_at_2": sum(exact[2]) / count,
        "exact_accuracy": sum(exact[2]) / count,
        "token_accuracy": 1 - sum(wrong[2]) / sum(supervised),
        "segments": sum(1 if stop else 2 for stop in halted) / count,
        "halting_precision": both / max(sum(halted), 1),
        "halting_recall": both / max(sum(exact[2]), 1),
    }


@given(count=st.integers(1, 14), batch=st.integers(1, 6), ranks=st.integers(1, 4))
def test_every_puzzle_counts_once(count, batch, ranks):
    """Fails if padding rows count, if a ragged last batch is dropped, or if batches weigh alike."""
    evaluation = Evaluation(segments=2)
    for rank in range(ranks):  # states are sums: one evaluation that sees every rank is their reduction
        part = EvaluationBatches(puzzles(count), batch_size=batch, share=Share(rank, ranks))
        for step in range(len(part)):
            evaluation.update(predictions(part[step]), part[step], SoftmaxCrossEntropy())
    measured = evaluation.measured("val")
    expected = counted(count)
    assert {name: measured.figures[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert measured.puzzles == count

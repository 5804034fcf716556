"""Checks of what search asks of data: symmetries and rules."""

from __future__ import annotations

import torch
from torch import Tensor

from recurlight.data.base import PuzzleData
from recurlight.data.rules import Rules
from recurlight.testing.batches import stream
from recurlight.testing.report import expect
from recurlight.types import IGNORE, Batch

__all__ = ["check_rules", "check_symmetries"]

_CHAINS = 8


def check_symmetries(data: PuzzleData) -> None:
    """Check that symmetries are drawn for each row by itself, and that right answers stay right."""
    if data.symmetry_group() is None:
        return
    batch, rules = stream(data, 1)[0], data.rules()
    seen: dict[tuple[int, ...], tuple[int, ...]] = {}
    moved = 0
    for chain in range(_CHAINS):
        symmetry = data.symmetries(batch, 0, chain)
        _require_alone(data, batch, chain)
        questions, answers = symmetry.apply(batch.inputs), symmetry.answer(batch.labels)
        moved += int((questions != batch.inputs).sum())
        expect(
            rules is None or bool(rules.holds(questions, answers.clamp(min=0)).all()),
            "the right answer to a question is wrong in another guise: rename and move both alike, so that "
            "the rules hold of them",
        )
        for question, answer in zip(questions.tolist(), answers.tolist(), strict=True):
            known = seen.setdefault(tuple(question), tuple(answer))
            expect(
                rules is not None or known == tuple(answer),
                "two symmetries turn questions into the same one and their answers into different ones: "
                "rename and move both alike, and where questions have several right answers, write 'rules'",
            )
    expect(moved > 0, "no symmetry changes any question: return None where none are known")


def _require_alone(data: PuzzleData, batch: Batch, chain: int) -> None:
    some = torch.tensor([2, 1])
    whole = data.symmetries(batch, 0, chain)
    alone = data.symmetries(Batch(*(field[some] for field in batch)), 0, chain)
    expect(
        all(
            one is other is None or (one is not None and other is not None and torch.equal(one[some], other))
            for one, other in zip(whole, alone, strict=True)
        ),
        "a question is asked in another guise when its neighbours in the batch change: draw each symmetry "
        "from its key alone",
    )


def check_rules(data: PuzzleData) -> None:
    """Check that rules hold of right answers, of each by itself, and not of everything."""
    rules = data.rules()
    if rules is None:
        return
    batch = stream(data, 1)[0]
    questions, labels = batch.inputs, batch.labels
    held = _holds(rules, questions, labels.clamp(min=0))
    _require_right(held)
    _require_right(_holds(rules, questions, torch.where(labels == IGNORE, data.vocab_size - 1, labels)))
    mixed = torch.stack([labels[2], labels[0], labels[0]]).clamp(min=0)
    asked = torch.stack([questions[2], questions[1], torch.zeros_like(questions[0])])
    beside, alone = _holds(rules, asked, mixed), _holds(rules, asked[1:2], mixed[1:2])
    expect(
        bool(beside[0] == held[2]) and bool(beside[1] == alone[0]),
        f"{type(rules).__name__} judges an answer otherwise when its neighbours in the batch change",
    )
    wrong = (torch.zeros_like(questions), questions, labels.clamp(min=0).roll(1, dims=0))
    expect(
        not all(bool(_holds(rules, questions, answers).all()) for answers in wrong),
        f"{type(rules).__name__} holds of zeros, of the question and of the answer to another one: ask more",
    )


def _require_right(held: Tensor) -> None:
    expect(
        bool(held.all()),
        f"the rules do not hold of {int((~held).sum())} right answers of {len(held)}: ask nothing of cells "
        "without a supervised label, and no more than the task does",
    )


def _holds(rules: Rules, questions: Tensor, answers: Tensor) -> Tensor:
    held = rules.holds(questions, answers)
    expect(
        isinstance(held, Tensor) and held.dtype == torch.bool and held.shape == (len(questions),),
        f"{type(rules).__name__}.holds returns {getattr(held, 'dtype', type(held).__name__)} "
        f"{tuple(getattr(held, 'shape', ()))}: return one bool for each row",
    )
    return held

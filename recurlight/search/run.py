"""One chain, run from its start to its end, and several of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recurlight.data.rules import Rules
from recurlight.data.symmetry import Symmetry
from recurlight.recursion import Recursion
from recurlight.search.chains import Chains, alike
from recurlight.search.holding import Holding
from recurlight.search.watched import Watched
from recurlight.stopping import AsTrained, Stopping, usual_stopping
from recurlight.types import Batch, Carry, unsupervised

__all__ = ["End", "Run", "joined"]


class End(NamedTuple):
    """Where one chain stands, as `Chains` tells it of all."""

    logits: Tensor
    score: Tensor
    segments: Tensor
    halted: Tensor
    residual: Tensor


class Run(NamedTuple):
    """How chains are run.

    Attributes:
        recursion: The model.
        segments: Segments of a chain; None for the model's cap.
        adaptive: Chains stop when their answer is settled.
        cycles: Cycles in a segment; None for the model's own.
        until: What ends a chain whose answer keeps it; None for nothing.
    """

    recursion: Recursion
    segments: int | None
    adaptive: bool
    cycles: int | None
    until: Rules | None = None

    def rule(self, questions: Tensor) -> Stopping:
        """Return the rule by which chains stop, that of `Recursion.unroll`, or the task's own.

        Args:
            questions: In the guise in which the chain asks them, `(B, ...)`.
        """
        usual = usual_stopping(self.recursion.halting) if self.adaptive else AsTrained()
        rule = self.recursion.stopping or usual
        return rule if self.until is None else Holding(self.until, questions, rule if self.adaptive else None)

    def chain(
        self,
        batch: Batch,
        symmetry: Symmetry | None = None,
        disturb: Callable[[Carry], Carry] | None = None,
    ) -> End:
        """Run one chain.

        Args:
            batch: Questions as they were asked, `(B, ...)`.
            symmetry: In which guise to ask them; None for as they are.
            disturb: As for `Recursion.unroll`.
        """
        if symmetry is not None:
            labels = unsupervised(batch.labels)
            batch = batch._replace(inputs=symmetry.apply(batch.inputs), labels=labels)
        watched = Watched(self.rule(batch.inputs))
        how = self.segments, self.adaptive or self.until is not None, self.cycles, watched, disturb
        *_, last = self.recursion.unroll(batch, *how)
        logits = last.logits if symmetry is None else symmetry.undo_logits(last.logits)
        return End(logits, last.confidence, last.segments, last.halted, watched.residual)


def joined(ends: Sequence[End], recursion: Recursion, batch: Batch, rules: Rules | None) -> Chains:
    """Put chains side by side, compare their answers, and ask the rules.

    Cells of padding are not compared.

    Args:
        ends: The chains.
        recursion: The model.
        batch: Questions as they were asked, `(B, ...)`.
        rules: Tell which answers hold; None where none are known.
    """
    logits, score, segments, halted, residual = (
        torch.stack(field, dim=1) for field in zip(*ends, strict=True)
    )
    numbers = recursion.sizes.targets
    answers = logits if numbers else logits.argmax(dim=-1)  # (B, K, L)
    filled = recursion.encoder.filled_positions(batch.inputs)[:, recursion.sizes.prefix :]
    cast = answers if numbers else answers.where(filled[:, None], 0)
    holds = None
    if rules is not None:
        holds = torch.stack([rules.holds(batch.inputs, each) for each in answers.unbind(dim=1)], dim=1)
    return Chains(logits, answers, alike(cast), score, segments, halted, residual, holds)

"""Several chains a slot, of which the best one is learnt from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recurlight import draw, slots
from recurlight.losses import SequenceLoss
from recurlight.recursion.driver import Recursion
from recurlight.spec.given import within
from recurlight.supervision.base import Supervision, Turn
from recurlight.types import Batch, Carry, Learnt, State

__all__ = ["WinnerTakesAll"]


@dataclass(frozen=True)
class WinnerTakesAll(Supervision):
    """Let several latents work on a sample, and learn from the one whose answer costs least.

    `loss = mean over slots of (loss[w] + halting_weight * halting loss[w])`, `w = argmin_k loss[k]`

    Each slot has `width` chains. All but the first begin with Gaussian noise of deviation `spread`, in
    every level of the state but the answer, or in the answer where it is the only one. After each segment the
    winner's answer becomes that of all chains, and each keeps its other levels. So chains may differ in how
    they think, agree on what is known so far, and need not each be right about every sample.

    A step costs `width` times as much as one of `OneSegment`, in time and in memory, and learns from as many
    samples. Evaluation runs one chain, without noise, as for any model.

    Args:
        width: Chains of each slot, 2 or more.
        spread: Standard deviation of the noise, above 0; states are about 1 in size.

    Raises:
        IncompatibleComponents: A number is out of range.

    Example:
        >>> WinnerTakesAll(width=4)
        WinnerTakesAll(width=4, spread=1.0)

    Reference:
        Speed is Confidence (arXiv:2601.19085), "winner take all"; the halting score of the winner is learnt.
    """

    width: int
    spread: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        super().__post_init__()
        within("WinnerTakesAll", "width", self.width, 2)
        within("WinnerTakesAll", "spread", self.spread, above=0)

    def rows_per_slot(self) -> int:
        """One row for each chain."""
        return self.width

    def step(
        self, recursion: Recursion, carry: Carry, fresh: Batch, loss: SequenceLoss, turn: Turn
    ) -> Learnt:
        """Run one segment of every chain, and learn from the winners."""
        begins = carry.halted
        with turn.drawing():
            carry = recursion.refill(carry, slots.repeat(fresh, self.width))
            noisy = slots.choose(begins & self._others(begins), self._shaken(carry.state), carry.state)
            carry, segment, score = recursion.segment(carry._replace(state=noisy), carry.batch)
            judged = recursion.judge(carry, segment, score, loss)
        first = torch.arange(0, len(begins), self.width, device=begins.device)
        winner = first + judged.loss.detach().view(-1, self.width).argmin(1)  # (B,) among the rows
        total = judged.total(turn.halting_weight)[winner].mean()
        after = recursion.halt(
            slots.take(winner, carry), score.detach()[winner], turn.step, turn.rank, turn.ranks
        )
        carry = self._agreed(carry, winner)._replace(halted=slots.repeat(after.halted, self.width))
        return Learnt(carry, total, slots.take(winner, segment), judged.correct[winner])

    def _others(self, rows: Tensor) -> Tensor:
        """Say which rows are not the first chain of their slot."""
        return torch.arange(len(rows), device=rows.device) % self.width > 0

    def _shaken(self, state: State) -> State:
        """Add noise to the levels in which chains may differ."""
        leaves = {
            name: leaf + self.spread * draw.normal(leaf)
            for name, leaf in state._asdict().items()  # type: ignore[attr-defined]
            if leaf.is_floating_point() and (name != "answer" or len(state) == 1)  # type: ignore[arg-type]
        }
        return state._replace(**leaves)  # type: ignore[attr-defined,no-any-return]

    def _agreed(self, carry: Carry, winner: Tensor) -> Carry:
        """Give every chain the winner's answer, unless it has nothing else of its own."""
        state = carry.state
        if len(state) == 1:  # type: ignore[arg-type]
            return carry
        answer = slots.repeat(state.answer[winner], self.width)
        return carry._replace(state=state._replace(answer=answer))  # type: ignore[attr-defined]

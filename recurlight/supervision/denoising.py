"""Segments that are told a noised answer."""

from __future__ import annotations

from dataclasses import dataclass

from recurlight.codec.feedback import AnswerFeedback
from recurlight.errors import IncompatibleComponents
from recurlight.losses import SequenceLoss
from recurlight.recursion.driver import Recursion
from recurlight.spec.given import within
from recurlight.supervision.base import Supervision, Turn
from recurlight.truncation.reach import reads_question
from recurlight.types import Batch, Carry, Learnt

__all__ = ["Denoising"]


@dataclass(frozen=True)
class Denoising(Supervision):
    """Tell each segment a noised answer in training, and in evaluation a guess that its own answers draw.

    `loss` as for `OneSegment`; segment `n` of `S` is told `(1 - t) noise + t answer` with `t = (n - 1) / S`

    The guess starts at noise and ends at the answer, on the straight line between; see `AnswerFeedback`. In
    evaluation, where the answer is not known, each segment moves the guess to what it has read out itself,
    one step of Euler's rule along the flow that training has shown it.

    In training later segments are told most of the answer, so that the running `exact` says little; and a
    halting score is learnt there from segments that were told it in part. Evaluate with all segments, as is
    the default, or judge adaptive evaluation by its table.

    Where nothing is supervised there is no answer to be told: the guess stays noise in training, and moves in
    evaluation to what nobody has trained. Prefer data whose every position is supervised.

    Args:
        noise: Standard deviation of the noise, above 0; an answer of tokens is 0 and 1.

    Raises:
        IncompatibleComponents: The number is out of range.

    Example:
        >>> Denoising(noise=0.5).feedback()
        AnswerFeedback()

    Reference:
        Denoising recursion (arXiv:2604.18839) trains on corrupted answers; rectified flow (arXiv:2209.03003).
    """

    noise: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        super().__post_init__()
        within("Denoising", "noise", self.noise, above=0)

    def feedback(self) -> AnswerFeedback:
        """Return the part that tells the guess."""
        return AnswerFeedback(self.noise)

    def check(self, recursion: Recursion, loss: SequenceLoss) -> None:
        """Refuse look-ahead, which would need the answer, and a composition that hears no guess."""
        if recursion.halting.needs_lookahead:
            raise IncompatibleComponents(
                f"{type(recursion.halting).__name__} looks one segment ahead, which Denoising cannot: set "
                "model.halting to CorrectnessHalting or FixedHalting"
            )
        if recursion.feedback is None:
            raise IncompatibleComponents(
                "Denoising needs a composition with feedback: give Recursion feedback=supervision.feedback()"
            )
        if not reads_question(recursion.refiner, recursion.sizes):
            raise IncompatibleComponents(
                f"Denoising tells the guess beside the question, which no update of "
                f"{type(recursion.refiner).__name__} reads: set model.refiner to TwoLevelRefiner or "
                "SingleRefiner"
            )

    def step(
        self, recursion: Recursion, carry: Carry, fresh: Batch, loss: SequenceLoss, turn: Turn
    ) -> Learnt:
        """Run one segment, and move the guess on towards the answer."""
        learnt = recursion.learn(carry, fresh, loss, **turn._asdict())
        assert recursion.feedback is not None  # see check
        guess = recursion.feedback.to_labels(learnt.carry, recursion.max_segments)
        return learnt._replace(carry=learnt.carry._replace(guess=guess))

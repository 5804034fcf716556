"""The supervision contract: what one optimizer step does with segments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from recurlight import draw, slots
from recurlight.codec.feedback import AnswerFeedback
from recurlight.errors import IncompatibleComponents
from recurlight.losses import SequenceLoss
from recurlight.recursion.driver import Recursion
from recurlight.spec import Recorded
from recurlight.truncation.reach import passes_gradient
from recurlight.types import Batch, Carry, Learnt

__all__ = ["Supervision", "Turn", "require_through"]


class Turn(NamedTuple):
    """What a supervision may know of a step beside its slots.

    Attributes:
        step: Number of the training step, from which the exploration is drawn; micro-batches count.
        halting_weight: Weight of the halting loss.
        rank: This process's number.
        ranks: Number of processes.
    """

    step: int
    halting_weight: float = 0.5
    rank: int = 0
    ranks: int = 1

    def drawing(self) -> AbstractContextManager[None]:
        """Draw by `recurlight.draw` as this rank, also where no process group tells it."""
        return draw.as_rank(self.rank, self.ranks) if self.ranks > 1 else nullcontext()


class Supervision(Recorded, ABC):
    """What one optimizer step does with segments: how many, which count in the loss, where gradient goes.

    A supervision is built from what the driver offers: `Recursion.segment` runs one segment, `judge` takes
    its losses slot by slot, `halt` decides which slots take a fresh sample. It keeps nothing from step to
    step: that is the carry's business.

    The loss is a mean over all slots, of what each slot makes of its own rows; a slot that waits counts as
    zero. So a step is the same however the slots are divided over ranks, and over micro-batches too where
    nothing is drawn: exploration and noise belong to the micro-batch. What draws does so within
    `turn.drawing()`.
    """

    def check(self, recursion: Recursion, loss: SequenceLoss) -> None:
        """Refuse compositions that cannot be trained so; called again whenever the composition changes.

        Args:
            recursion: The composition.
            loss: Loss of each sample.

        Raises:
            IncompatibleComponents: With what is wrong and the setting to change.
        """

    def feedback(self) -> AnswerFeedback | None:
        """Return what tells segments a guess at the answer; None for nothing."""
        return None

    def rows_per_slot(self) -> int:
        """Return how many rows of the carry a slot has, next to one another; one unless overridden."""
        return 1

    def start(self, recursion: Recursion, batch: Batch) -> Carry:
        """Make a carry whose slots have all halted, as `Recursion.start` does.

        Args:
            recursion: The composition.
            batch: Any samples of the right shapes, `(B, ...)`.
        """
        rows = self.rows_per_slot()
        return recursion.start(batch if rows == 1 else slots.repeat(batch, rows))

    @abstractmethod
    def step(
        self, recursion: Recursion, carry: Carry, fresh: Batch, loss: SequenceLoss, turn: Turn
    ) -> Learnt:
        """Run the segments of one optimizer step.

        The caller differentiates the loss and steps the optimizer. Nothing here may wait for the device.

        Args:
            recursion: The composition.
            carry: What the slots kept; halted slots take a sample from `fresh`.
            fresh: One sample for each slot, `(B, ...)`; those of busy slots are not used.
            loss: Loss of each sample.
            turn: What else there is to know of this step.

        Returns:
            The carry, detached, with the age and the sample of each slot; its halted slots have finished. The
            loss, 0-d; the last segment; and whether each slot's answer is right, `(B,)` bool.
        """


def require_through(supervision: Supervision, recursion: Recursion) -> None:
    """Refuse to send gradient through segments where the truncation lets none pass.

    Raises:
        IncompatibleComponents: With the settings to change.
    """
    parts = recursion.refiner, recursion.truncation, recursion.sizes, recursion.cycles
    if not passes_gradient(*parts):
        name = type(supervision).__name__
        raise IncompatibleComponents(
            f"{name} sends gradient from segment to segment, and {recursion.truncation!r} lets none through: "
            "set model.truncation to EveryUpdate, or model.supervision.init_args.through to false"
        )

"""The slots of a driver: made empty, and filled again with the samples that they work on."""

from __future__ import annotations

import torch
from torch import Tensor

from recurlight import slots
from recurlight.draw.seeding import generators_kept
from recurlight.recursion.checks import check_batch, check_precision
from recurlight.recursion.composition import Composition
from recurlight.slots import require_batch, require_carry
from recurlight.spec.given import checked
from recurlight.types import Batch, Carry

__all__ = ["Slotted"]


class Slotted(Composition):
    """The part of `Recursion` that gives slots their samples, and the state with which they begin."""

    @checked
    @torch.no_grad()
    def start(self, batch: Batch) -> Carry:
        """Make a carry whose slots have all halted, so that the first segment fills every one.

        Nothing is taken from the global generators, so that a run that is resumed draws what it would have.

        Args:
            batch: Any samples of the right shapes; only the shapes matter.

        Raises:
            IncompatibleComponents: The batch does not fit the model, or the weights have a precision below
                float32.
        """
        self._looked_at(batch)
        check_precision(self)
        with generators_kept(batch.inputs.device):
            state = self.refiner.initial_state(self.encoder(batch.inputs, batch.task))
            guess = None if self.feedback is None else self.feedback.blank(batch)
        age = torch.zeros_like(batch.task, dtype=torch.int32)
        return Carry(state, batch, age, torch.ones_like(age, dtype=torch.bool), guess)

    def _looked_at(self, batch: Batch) -> Batch:
        """Refuse a batch that does not fit the model."""
        require_batch(batch, self.sizes, self)
        # elsewhere the answer would have to be waited for, and a program has no answer
        if batch.inputs.device.type == "cpu" and not torch.compiler.is_exporting():
            check_batch(batch, self.sizes)
        return batch

    @checked
    def refill(self, carry: Carry, fresh: Batch) -> Carry:
        """Give halted slots a fresh sample and their first state, as `segment` does before it begins.

        For what comes between the two, such as noise on the first state.

        Args:
            carry: What the slots kept; halted slots take a sample from `fresh`.
            fresh: One sample for each slot, `(B, ...)`.

        Returns:
            The carry with no slot halted, age 0 where a sample is fresh.
        """
        return self._refilled(carry, fresh)[0]

    def _refilled(self, carry: Carry, fresh: Batch) -> tuple[Carry, Tensor]:
        """Refill the slots, and encode what they hold, `(B, N, D)`."""
        require_batch(fresh, self.sizes, self)
        require_carry(carry, fresh)
        batch = slots.choose(carry.halted, fresh, carry.batch)
        injection = self.encoder(batch.inputs, batch.task)
        state = slots.choose(carry.halted, self.refiner.initial_state(injection), carry.state)
        age, none = carry.age.masked_fill(carry.halted, 0), torch.zeros_like(carry.halted)
        guess = carry.guess
        if self.feedback is not None:
            guess = slots.choose(carry.halted, self.feedback.first(batch), guess)
            injection = injection + self.feedback(guess)
        return Carry(state, batch, age, none, guess), injection

"""The parts of a recursive reasoner, and what holds them to each other when one is made or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from recurlight.codec.base import Decoder, Encoder
from recurlight.codec.continuous import ContinuousDecoder, ContinuousEncoder
from recurlight.codec.feedback import AnswerFeedback
from recurlight.codec.tokens import TokenDecoder, TokenEncoder
from recurlight.draw.seeding import generators_kept
from recurlight.errors import IncompatibleComponents
from recurlight.halting.base import Halting
from recurlight.numerics import floats
from recurlight.optim.groups import freeze
from recurlight.recursion.checks import (
    bind,
    buffers_kept,
    check_limits,
    check_precision,
    check_refiner,
    check_sizes,
)
from recurlight.recursion.outputs import (
    check_decoder,
    check_encoder,
    check_feedback,
    check_halting,
    check_kinds,
)
from recurlight.refiners.base import Refiner
from recurlight.spec.given import checked
from recurlight.truncation.base import GradientTruncation
from recurlight.truncation.reach import check_question
from recurlight.types import Sizes

__all__ = ["Composition"]


class Composition(nn.Module):
    """The half of `Recursion` that puts the parts together; the other half runs them."""

    @checked
    def __init__(
        self,
        sizes: Sizes,
        refiner: Refiner[Any],
        truncation: GradientTruncation,
        halting: Halting,
        encoder: Encoder | None = None,
        decoder: Decoder | None = None,
        cycles: int = 3,
        max_segments: int = 16,
        exploration: float = 0.1,
        seed: int = 0,
        feedback: AnswerFeedback | None = None,
        frozen: list[str] | None = None,
    ) -> None:
        super().__init__()
        check_sizes(sizes)
        check_limits(cycles, max_segments, exploration, halting.needs_lookahead)
        self.sizes, self.exploration, self.seed = sizes, exploration, seed
        self.encoder = encoder or (ContinuousEncoder() if sizes.features else TokenEncoder())
        self.refiner = refiner
        self.decoder = decoder or (ContinuousDecoder() if sizes.targets else TokenDecoder())
        self.halting = halting
        self.feedback = feedback
        check_kinds(sizes, encoder=self.encoder)
        if feedback is not None:
            check_feedback(self.decoder, sizes)
        bind(self, sizes, seed)
        freeze(self, frozen or ())  # before the checks: what is frozen may go without gradient
        check_precision(self)
        with generators_kept(), buffers_kept(self), torch.autocast("cpu", enabled=False):
            check_encoder(self.encoder, sizes)
            check_refiner(refiner, sizes)
            check_decoder(self.decoder, sizes)
            check_halting(halting, sizes, self.decoder.outputs(sizes))
        self.truncation, self.cycles, self.max_segments = truncation, cycles, max_segments
        self.requirements: list[Callable[[Any], None]] = []
        self.reconfigure()

    def reconfigure(
        self,
        *,
        cycles: int | None = None,
        max_segments: int | None = None,
        truncation: GradientTruncation | None = None,
    ) -> None:
        """Change the composition after it was made: the one way in for curricula and flags.

        All checks of the constructor run again, and a composition that they refuse leaves the old one in
        place. Weights, optimizer and carry stay as they are. Evaluation follows from its next pass on, where
        `eval_cycles` and `eval_segments` leave it to training. A checkpoint of `RecursiveModule` holds the
        composition of the moment in which it is written; make a curriculum a function of the step alone, so
        that a resumed run sets the same again.

        Args:
            cycles: Cycles in a segment, at least 1; None to keep them.
            max_segments: Cap on the segments of a sample in training, at least 1; None to keep it.
            truncation: Which updates carry gradient; None to keep it.

        Raises:
            IncompatibleComponents: The parts cannot be composed; the message names the setting to change.

        Example:
            >>> from recurlight import FixedHalting, LastCycles, LastUpdates, MixerCell, Recursion
            >>> from recurlight import SingleRefiner
            >>> refiner = SingleRefiner(MixerCell())
            >>> recursion = Recursion(Sizes(6, 16, 32), refiner, LastCycles(1), FixedHalting(), cycles=2)
            >>> recursion.reconfigure(cycles=4, truncation=LastUpdates(3))
            >>> recursion.cycles, recursion.truncation
            (4, LastUpdates(count=3))
        """
        cycles = self.cycles if cycles is None else cycles
        max_segments = self.max_segments if max_segments is None else max_segments
        truncation = self.truncation if truncation is None else truncation
        check_limits(cycles, max_segments, self.exploration, self.halting.needs_lookahead)
        with self._on_trial():
            truncation.check(self.refiner, cycles)
            check_question(self.encoder, self.refiner, truncation, self.sizes, cycles)
            before = self.truncation, self.cycles, self.max_segments
            self.truncation, self.cycles, self.max_segments = truncation, cycles, max_segments
            try:
                for check in self.requirements:
                    check(self)
            except IncompatibleComponents:
                self.truncation, self.cycles, self.max_segments = before
                raise

    def require(self, check: Callable[[Any], None]) -> None:
        """Hold the composition to one more thing, now and whenever it is changed.

        Args:
            check: Raises `IncompatibleComponents` for a composition that it refuses.
        """
        with self._on_trial():
            check(self)
        self.requirements.append(check)

    @contextmanager
    def _on_trial(self) -> Iterator[None]:
        """Leave nothing of what is tried: no draw, no count in a buffer, no precision of the caller's."""
        device = next(floats(self), torch.zeros(())).device
        with generators_kept(device), buffers_kept(self), torch.autocast(device.type, enabled=False):
            yield

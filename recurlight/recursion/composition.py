"""The parts of a recursive reasoner, and what holds them to each other when one is made or changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from recurlight.codec.backbone import Backbone, hand
from recurlight.codec.base import Decoder, Encoder
from recurlight.codec.continuous import ContinuousDecoder, ContinuousEncoder
from recurlight.codec.feedback import AnswerFeedback
from recurlight.codec.tokens import TokenDecoder, TokenEncoder
from recurlight.draw.seeding import generators_kept
from recurlight.errors import IncompatibleComponents, suggestion
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
from recurlight.recursion.compile import uncompiled
from recurlight.recursion.outputs import (
    check_decoder,
    check_encoder,
    check_feedback,
    check_halting,
    check_kinds,
)
from recurlight.refiners.base import Refiner
from recurlight.spec import settle
from recurlight.spec.given import checked, within
from recurlight.stopping import Stopping
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
        stopping: Stopping | None = None,
        backbone: Backbone | None = None,
    ) -> None:
        super().__init__()
        check_sizes(sizes)
        check_limits(cycles, max_segments, exploration, halting.needs_lookahead)
        self.sizes, self.exploration, self.seed = sizes, exploration, seed
        self.encoder = encoder or (ContinuousEncoder() if sizes.features else TokenEncoder())
        self.refiner = refiner
        self.decoder = decoder or (ContinuousDecoder() if sizes.targets else TokenDecoder())
        self.halting = halting
        self.feedback, self.stopping, self.backbone = feedback, stopping, backbone
        if stopping is not None:
            stopping.check(halting, sizes)
        check_kinds(sizes, encoder=self.encoder)
        if feedback is not None:
            check_feedback(self.decoder, sizes)
        with generators_kept(), torch.autocast("cpu", enabled=False):
            hand(self, backbone, sizes)
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
        self._passed: set[Hashable] = set()
        self.stated = self.composition()
        self.reconfigure()

    def reconfigure(
        self,
        *,
        cycles: int | None = None,
        max_segments: int | None = None,
        truncation: GradientTruncation | None = None,
        for_now: bool = False,
        **counts: int,
    ) -> None:
        """Change the composition after it was made: the one way in for curricula and flags.

        All checks of the constructor run again, and a composition that they refuse leaves the old one in
        place. Weights, optimizer and carry stay as they are. Evaluation follows from its next pass on, where
        `eval_cycles` and `eval_segments` leave it to training, and checkpoints of `RecursiveModule` hold what
        was changed. Neither sees what is changed `for_now`, as a `Curriculum` does for one step.

        Args:
            cycles: Cycles in a segment, at least 1; None to keep them.
            max_segments: Cap on the segments of a sample in training, at least 1; None to keep it.
            truncation: Which updates carry gradient; None to keep it.
            for_now: Until `restore`, or a change that stays; `stated` keeps what was there before. The same
                composition is checked once only, so that a change in every step costs no time.
            **counts: What the refiner lets be changed, see `Refiner.adjustable`, such as `latent_steps=4`; at
                least 1.

        Raises:
            IncompatibleComponents: The parts cannot be composed; the message names the setting to change.

        Example:
            >>> from recurlight import FixedHalting, LastCycles, LastUpdates, MixerCell, Recursion
            >>> from recurlight import TwoLevelRefiner
            >>> refiner = TwoLevelRefiner(MixerCell(), latent_steps=2)
            >>> recursion = Recursion(Sizes(6, 16, 32), refiner, LastCycles(1), FixedHalting(), cycles=2)
            >>> recursion.reconfigure(cycles=4, truncation=LastUpdates(3))
            >>> recursion.cycles, recursion.truncation
            (4, LastUpdates(count=3))
            >>> recursion.reconfigure(cycles=1, latent_steps=6, for_now=True)
            >>> recursion.refiner.schedule().count("latent")
            6
            >>> recursion.restore()
            >>> recursion.cycles, recursion.refiner.latent_steps
            (4, 2)
        """
        for name, count in counts.items():
            _check_count(self.refiner.adjusted(), name, count)
        given = {"cycles": cycles, "max_segments": max_segments, "truncation": truncation, **counts}
        before = self.composition()
        base = before if for_now else self.stated
        self._put(base | {name: value for name, value in given.items() if value is not None})
        try:
            self._check(once=for_now)
        except BaseException:
            self._put(before)
            raise
        if not for_now:
            self.stated = self.composition()
            for name, count in counts.items():  # the refiner says from now on that it was made so
                settle(self.refiner.adjusted(), name, count, otherwise=None)

    def restore(self) -> None:
        """Bring back the composition that was there before what was changed for now."""
        self._put(self.stated)

    def composition(self) -> dict[str, Any]:
        """Return what `reconfigure` changes, as it is now, by name."""
        own = {"cycles": self.cycles, "max_segments": self.max_segments, "truncation": self.truncation}
        return own | _counts(self.refiner.adjusted())

    def _put(self, composition: dict[str, Any]) -> None:
        """Set what `composition` returns."""
        refiner = self.refiner.adjusted()
        for name, value in composition.items():
            setattr(refiner if name in refiner.adjustable else self, name, value)

    def _check(self, once: bool) -> None:
        """Hold the parts to each other; `once` leaves out a composition that has passed already."""
        now = tuple(self.composition().values())
        if once and _hashable(now) and now in self._passed:
            return
        check_limits(self.cycles, self.max_segments, self.exploration, self.halting.needs_lookahead)
        with self._on_trial():
            self.truncation.check(self.refiner, self.cycles)
            check_question(self.encoder, self.refiner, self.truncation, self.sizes, self.cycles)
            for check in self.requirements:
                check(self)
        if _hashable(now):
            self._passed.add(now)

    def require(self, check: Callable[[Any], None]) -> None:
        """Hold the composition to one more thing, now and whenever it is changed.

        Args:
            check: Raises `IncompatibleComponents` for a composition that it refuses.
        """
        with self._on_trial():
            check(self)
        self.requirements.append(check)
        self._passed.clear()

    @contextmanager
    def _on_trial(self) -> Iterator[None]:
        """Leave nothing of what is tried: no draw, no count in a buffer, no graph of a compiled cell."""
        device = next(floats(self), torch.zeros(())).device
        precise = torch.autocast(device.type, enabled=False)
        with generators_kept(device), buffers_kept(self), precise, uncompiled(self.refiner):
            yield


def _counts(refiner: Refiner[Any]) -> dict[str, int]:
    """Return what a refiner lets be changed."""
    found: dict[str, Any] = {name: getattr(refiner, name, None) for name in refiner.adjustable}
    for name, value in found.items():
        if not isinstance(value, int):
            kind = type(refiner).__name__
            raise IncompatibleComponents(
                f"{kind}.adjustable names {name!r}, and its attribute of that name is {value!r}: keep the "
                "whole number that the constructor gets under its own name"
            )
    return found


def _check_count(refiner: Refiner[Any], name: str, count: Any) -> None:
    """Refuse to set what a refiner does not let be changed, or a number of no updates."""
    kind, known = type(refiner).__name__, refiner.adjustable
    if name not in known:
        raise IncompatibleComponents(
            f"{kind} lets no {name} be changed{suggestion(name, known)}: only what {kind}.adjustable names, "
            f"{', '.join(known) or 'which is nothing'}"
        )
    whole = isinstance(count, int) and not isinstance(count, bool)
    within(kind, name, count if whole else 0, 1)


def _hashable(value: Any) -> bool:
    """Tell whether a set can hold it: a truncation of the user's own may have a dictionary for a setting."""
    try:
        hash(value)
    except TypeError:
        return False
    return True

"""Search: several chains of reasoning about each question, and a choice among their answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import final

import torch

from recurlight.data.base import PuzzleData
from recurlight.data.rules import Rules
from recurlight.data.symmetry import Symmetry
from recurlight.draw.seeding import generators_kept, seeded_evaluation
from recurlight.errors import IncompatibleComponents
from recurlight.recursion import Recursion
from recurlight.search.base import Selector
from recurlight.search.by_answer import Majority, Verified
from recurlight.search.found import Found, found_in
from recurlight.search.noise import disturbed
from recurlight.search.run import End, Run, joined
from recurlight.spec import Recorded
from recurlight.spec.given import checked, within
from recurlight.types import Batch

__all__ = ["Search"]


@final
@dataclass(frozen=True)
class Search(Recorded):
    """Spend more compute on each question: several chains, and a choice among their answers.

    `answer = undo_c(solve(apply_c(question)))`, `c = selector(chains 0 .. width - 1)`

    Chain 0 is the question as it is, without noise, so that a search of width 1 is `Recursion.solve`. The
    others differ from it by what is asked for: noise on the state, another guise of the question, or what the
    model itself draws, such as a random start. It takes any checkpoint and learns nothing. Chains run one
    after another, so that a search of any width takes the memory of one batch, and the logits of its chains.

    What is drawn for noise and symmetries is a function of the seed, the chain and the question, whatever
    batch it stands in.

    Args:
        width: Chains of each question, at least 1.
        noise: Standard deviation of the Gaussian noise on every level of the state before each segment.
        symmetries: Ask in other guises, as the data's `symmetries` draws them.
        segments: Segments of a chain, also more than were trained; None for those of the evaluation.
        selector: Chooses among the chains.
        seed: Seed of noise and symmetries.
        until_holds: Ask the rules of the task after every segment, and end a chain at its first answer that
            keeps them. It cannot lose that answer again, and spends no more on it; nor can others outvote it,
            for the selector chooses as `Verified(otherwise=selector)` does.

    Raises:
        IncompatibleComponents: A number is out of range, or there is no chain that it could change.

    Example:
        >>> from recurlight import CorrectnessHalting, LastCycles, MixerCell, Sizes, TwoLevelRefiner
        >>> refiner = TwoLevelRefiner(MixerCell(), latent_steps=2)
        >>> recursion = Recursion(Sizes(6, 16, 32), refiner, LastCycles(1), CorrectnessHalting())
        >>> ones = torch.ones(4, 16, dtype=torch.int64)
        >>> found = Search(width=3, noise=0.3).solve(recursion, Batch(ones, ones, ones[:, 0] - 1), segments=2)
        >>> found.chains.answers.shape, found.segments
        (torch.Size([4, 3, 16]), tensor([6, 6, 6, 6], dtype=torch.int32))

    Reference:
        PTRM (arXiv:2605.19943) for noise and rollouts, EqR (arXiv:2605.21488) for depth and restarts.
    """

    width: int = 1
    noise: float = 0.0
    symmetries: bool = False
    segments: int | None = None
    selector: Selector = field(default_factory=Majority)
    seed: int = 0
    until_holds: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        super().__post_init__()
        within("Search", "width", self.width, 1)
        within("Search", "noise", self.noise, 0)
        if self.segments is not None:
            within("Search", "segments", self.segments, 1)
        if self.width == 1 and (self.noise or self.symmetries):
            raise IncompatibleComponents(
                "noise and symmetries change the chains after the first, and Search has width=1: "
                "set search.width to 2 or more, such as 16"
            )

    @checked
    def solve(
        self,
        recursion: Recursion,
        batch: Batch,
        segments: int | None = None,
        adaptive: bool = True,
        cycles: int | None = None,
        data: PuzzleData | None = None,
        rules: Rules | None = None,
    ) -> Found:
        """Answer a batch of questions.

        Args:
            recursion: The model.
            batch: Questions, `(B, ...)`; the labels are not looked at.
            segments: Segments of a chain where the search sets none; None for the model's cap.
            adaptive: Chains stop when their answer is settled, as in `Recursion.solve`.
            cycles: Cycles in a segment; None for the model's own.
            data: Draws the symmetries, and has the rules.
            rules: Tell which answers hold; None for those of the data.

        Raises:
            IncompatibleComponents: Model, selector and search do not fit, or all chains would be the same.
            DataError: The data know no symmetries.
        """
        rules = rules or (None if data is None else data.rules())
        until = self._until(rules)
        self.selector.check(recursion, rules is not None)
        adaptive = adaptive or self.selector.needs_stops()
        run = Run(recursion, self.segments or segments, adaptive, cycles, until)
        chains = joined([*self._ends(run, batch, data)], recursion, batch, rules)
        updates = (cycles or recursion.cycles) * len(recursion.refiner.schedule())
        return found_in(chains, self.chooser, updates)

    @property
    def chooser(self) -> Selector:
        """The selector, which prefers what holds where chains are run until their answer does."""
        return Verified(self.selector) if self.until_holds else self.selector

    def _until(self, rules: Rules | None) -> Rules | None:
        """Return what ends a chain whose answer keeps it."""
        if self.until_holds and rules is None:
            raise IncompatibleComponents(
                "until_holds asks for the rules of the task, and this one has none: leave "
                "search.until_holds out, or write the data's method 'rules'"
            )
        return rules if self.until_holds else None

    def _ends(self, run: Run, batch: Batch, data: PuzzleData | None) -> Iterator[End]:
        """Run the chains, one after another; what the model itself draws is another in each."""
        device = batch.inputs.device
        with generators_kept():  # chain 0 draws what it would without a search
            start = int(torch.randint(1 << 62, (), device="cpu")) + self.seed
        before = _generators(device)
        yield run.chain(batch)
        drew = before != _generators(device)
        if self.width > 1 and not (self.noise or self.symmetries or drew):
            raise IncompatibleComponents(
                f"all {self.width} chains would be the same, for {type(run.recursion.refiner).__name__} "
                "draws nothing: set search.symmetries to true, or search.noise to 0.3"
            )
        for chain in range(1, self.width):
            noise = partial(disturbed, sigma=self.noise, counters=(self.seed, chain)) if self.noise else None
            with seeded_evaluation(start, chain, device):
                yield run.chain(batch, self._guise(batch, data, chain), noise)

    def _guise(self, batch: Batch, data: PuzzleData | None, chain: int) -> Symmetry | None:
        """Draw in which guise a chain is asked."""
        if not self.symmetries:
            return None
        if data is None:
            raise IncompatibleComponents(
                "symmetries are those of the data: give Search.solve data, a PuzzleData, or set "
                "search.symmetries to false"
            )
        return data.symmetries(batch, self.seed, chain)


def _generators(device: torch.device) -> list[bytes]:
    """Return where the generators stand that parts draw from."""
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state())
    return [state.numpy().tobytes() for state in states]

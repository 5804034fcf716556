"""The driver: slots that reason segment by segment. Plain PyTorch; `RecursiveModule` adds Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

from recurlight import draw, slots
from recurlight.losses import SequenceLoss
from recurlight.recursion.checks import at_least_one
from recurlight.recursion.exploration import minimum_age
from recurlight.recursion.generation import Generating
from recurlight.recursion.padding import padding_told
from recurlight.slots import require_rows
from recurlight.spec.given import checked, within
from recurlight.stopping import Stopping
from recurlight.types import Batch, Carry, Judged, Learnt, Outcome, Prediction, Segment

__all__ = ["Recursion"]


class Recursion(Generating):
    """A recursive reasoner: encoder, refiner and decoder, with its gradient truncation and halting policy.

    A *segment* refills the slots that halted, encodes their questions, applies `cycles` cycles of the
    refiner, reads the answer out and scores it. Between segments a `Carry` keeps state, sample and age of
    each slot, without gradient.

    Args:
        sizes: Sizes that the parts share; every `Sized` part is built here.
        refiner: How the state is refined.
        truncation: Which updates carry gradient.
        halting: When to stop.
        encoder: Question to injection; None for `TokenEncoder()`, or `ContinuousEncoder()` where the sizes
            have `features`.
        decoder: Answer to logits; None for `TokenDecoder()`, or `ContinuousDecoder()` where the sizes have
            `targets`.
        cycles: Cycles in a segment, at least 1.
        max_segments: Cap on the segments spent on one sample in training, at least 1.
        exploration: Probability that a slot must go on for a drawn number of segments, in [0, 1].
        seed: Seed of the weights and of the exploration.
        feedback: Tells each segment a guess at the answer, see `Denoising`; None for nothing.
        frozen: Parts whose weights get no gradient, as `recurlight.optim.chosen` names them; None for none.
        stopping: When a row of an adaptive evaluation stops; None for `usual_stopping(halting)`.
        backbone: Frozen model for the parts that are a `UsesBackbone`; None for none.

    Raises:
        IncompatibleComponents: The parts cannot be composed; the message names the setting to change.

    Example:
        >>> from recurlight.cells import MixerCell
        >>> from recurlight.halting import CorrectnessHalting
        >>> from recurlight.refiners import TwoLevelRefiner
        >>> from recurlight.truncation import LastCycles
        >>> from recurlight.types import Sizes
        >>> recursion = Recursion(
        ...     Sizes(vocab=6, tokens=16, width=32),
        ...     TwoLevelRefiner(MixerCell(), latent_steps=2),
        ...     LastCycles(1),
        ...     CorrectnessHalting(),
        ... )
        >>> zeros = torch.zeros(4, 16, dtype=torch.int64)
        >>> recursion.solve(Batch(zeros, zeros, zeros[:, 0]), max_segments=2).logits.shape
        torch.Size([4, 16, 6])
    """

    @checked
    def segment(
        self, carry: Carry, fresh: Batch, cycles: int | None = None, *, through: bool = False
    ) -> tuple[Carry, Segment, Tensor]:
        """Run one segment; with gradient as the truncation allows, unless the caller disabled it.

        Args:
            carry: What the slots kept; halted slots take a sample from `fresh`.
            fresh: One sample for each slot, `(B, ...)`; those of busy slots are not used.
            cycles: Cycles to run; None for the model's own.
            through: Keep the gradient through the carry, so that the next segment reaches back into this one
                as far as the truncation lets it.

        Returns:
            The carry, detached unless `through`, one segment older and with no slot halted yet; the segment;
            and the halting scores, `(B, K)`.

        Raises:
            IncompatibleComponents: `cycles` is below 1, or carry and batch do not fit the model.
        """
        cycles = at_least_one("cycles", cycles, self.cycles)
        carry, injection = self._refilled(carry, fresh)
        before = carry.state.answer.detach()
        with padding_told(self, self.encoder, carry.batch.inputs):
            state = self.truncation.run(self.refiner, carry.state, injection, cycles)
            segment = Segment(before, state.answer, self.decoder.read(state.answer, carry.batch))
            score = self.halting.score(segment)
        carry = carry._replace(state=state if through else slots.detach(state), age=carry.age + 1)
        return carry, segment, score

    def learn(
        self,
        carry: Carry,
        fresh: Batch,
        loss: SequenceLoss,
        step: int,
        *,
        halting_weight: float = 0.5,
        rank: int = 0,
        ranks: int = 1,
        decay: float = 1.0,
    ) -> Learnt:
        """Run one segment of training: the rule of published HRM and TRM, for any composition.

        `loss = mean over slots of (loss per supervised token + halting_weight * halting loss)`; which answers
        are right, for the halting loss to learn, says `SequenceLoss.right`.

        The caller differentiates it and steps the optimizer. `RecursiveModule` does just that, and has other
        rules of training to choose from, see `Supervision`.

        Args:
            carry: What the slots kept; `start(batch)` before the first step.
            fresh: One sample for each slot, `(B, ...)`; those of busy slots are not used.
            loss: Loss of each sample.
            step: Number of the training step, from which the exploration is drawn.
            halting_weight: Weight of the halting loss.
            rank: This process's number.
            ranks: Number of processes; parts that draw by `recurlight.draw` ask the process group where it
                is 1.
            decay: Weight of a slot's loss in its second segment, squared in its third, and so on.

        Example:
            >>> from recurlight import CorrectnessHalting, LastCycles, MixerCell, Sizes, SoftmaxCrossEntropy
            >>> from recurlight import TwoLevelRefiner
            >>> refiner = TwoLevelRefiner(MixerCell(), latent_steps=2)
            >>> recursion = Recursion(Sizes(6, 16, 32), refiner, LastCycles(1), CorrectnessHalting())
            >>> optimizer = torch.optim.AdamW(recursion.parameters(), lr=1e-3)
            >>> ones = torch.ones(4, 16, dtype=torch.int64)
            >>> batch = Batch(ones, ones, torch.zeros(4, dtype=torch.int64))
            >>> carry = recursion.start(batch)
            >>> for step in range(3):
            ...     carry, loss, _, _ = recursion.learn(carry, batch, SoftmaxCrossEntropy(), step)
            ...     optimizer.zero_grad()
            ...     loss.backward()
            ...     optimizer.step()
        """
        with draw.as_rank(rank, ranks) if ranks > 1 else nullcontext():
            carry, segment, score = self.segment(carry, fresh)
            judged = self.judge(carry, segment, score, loss)
            total = judged.total(halting_weight)
            if decay != 1:
                total = total * decay ** (carry.age - 1)
            carry = self.halt(carry, score.detach(), step, rank, ranks)
        return Learnt(carry, total.mean(), segment, judged.correct)

    @checked
    def judge(self, carry: Carry, segment: Segment, score: Tensor, loss: SequenceLoss) -> Judged:
        """Take the losses of one segment, slot by slot: what every rule of training is built from.

        Args:
            carry: As returned by `segment`.
            segment: What it computed.
            score: Halting scores, `(B, K)`.
            loss: Loss of each sample.
        """
        labels = carry.batch.labels
        correct = loss.right(segment.logits, labels)
        halting = self.halting.loss(score, self.outcome(carry, correct))
        return Judged(loss(segment.logits, labels), halting, correct)

    @checked
    def outcome(self, carry: Carry, correct: Tensor) -> Outcome:
        """Say what the halting loss may learn from, looking one segment ahead for policies that need it.

        Args:
            carry: As returned by `segment`.
            correct: Whether each slot's answer is right, `(B,)` bool.
        """
        require_rows("correct", correct, len(carry.age), torch.bool)
        next_score = None
        if self.halting.needs_lookahead:
            with torch.no_grad():
                next_score = self.segment(carry, carry.batch)[2]
        return Outcome(correct, carry.age >= self.max_segments, next_score)

    @checked
    @torch.no_grad()
    def halt(self, carry: Carry, score: Tensor, step: int, rank: int = 0, ranks: int = 1) -> Carry:
        """Decide in training which slots take a fresh sample next.

        A slot halts when its policy says so or at the cap, but not before its drawn minimum age. The draw is
        a function of (seed, step, slot of the global batch), so that any number of ranks draws the same.

        Args:
            carry: As returned by `segment`.
            score: Halting scores, `(B, K)`.
            step: Number of the training step.
            rank: This process's number.
            ranks: Number of processes.
        """
        rows, device = len(carry.age), carry.age.device
        require_rows("score", score, rows)
        within("Recursion.halt", "ranks", ranks, 1)
        within("Recursion.halt", "rank", rank, 0, ranks - 1)
        generator = torch.Generator(device).manual_seed((self.seed * 1_000_003 + step) % 2**63)
        drawn = minimum_age(rows * ranks, self.max_segments, self.exploration, generator, device)
        wants = self.halting.should_halt(score, carry.age) & (carry.age >= drawn[rank * rows :][:rows])
        return carry._replace(halted=wants | (carry.age >= self.max_segments))

    @checked
    @torch.no_grad()
    def unroll(
        self,
        batch: Batch,
        max_segments: int | None = None,
        adaptive: bool = False,
        cycles: int | None = None,
        stopping: Stopping | None = None,
        disturb: Callable[[Carry], Carry] | None = None,
    ) -> Iterator[Prediction]:
        """Evaluate, yielding where every row stands after each segment.

        Args:
            batch: Questions, `(B, ...)`.
            max_segments: Segments to run; None for the model's own cap.
            adaptive: Rows that stop keep their answer and leave the batch, which saves their compute; the
                iteration ends when no row is left. The others draw by `recurlight.draw` as if nobody had
                left. Otherwise all rows run all segments, as published, and `halted` only tells what the
                rule says.
            cycles: Cycles in a segment; None for the model's own.
            stopping: When rows stop; None for the composition's, and where it has none for
                `usual_stopping`, or, unless adaptive, for what the halting policy says.
            disturb: Changes what the slots hold before each segment, row by row, such as by noise on the
                state; None for nothing.

        Yields:
            One prediction for all rows, after 1, 2, ... segments.

        Raises:
            IncompatibleComponents: A number is below 1, or the rule cannot stop this model.
        """
        rule, memory, carry = self._rule(stopping, adaptive), None, self.start(batch)
        rows = torch.arange(len(carry.age), device=carry.age.device)
        live = count = len(rows)  # the rows after the live ones are padding
        whole: Prediction | None = None
        last = at_least_one("max_segments", max_segments, self.max_segments)
        for _ in range(last):
            with draw.of_batch(count, rows=rows):
                carry = carry if disturb is None else disturb(self.refill(carry, carry.batch))
                carry, segment, score = self.segment(carry, carry.batch, cycles)
                seen = self._seen(carry, segment, score)
                halted, memory = rule.look(seen, memory)
                part = Prediction(segment.logits, carry.age, halted, seen.confidence)
            if self.feedback is not None:
                carry = carry._replace(guess=self.feedback.towards(segment.logits, carry, last))
            whole = part if whole is None or not adaptive else slots.scatter(rows, part, whole)
            yield whole
            if adaptive:
                stay = (~halted[:live]).nonzero().squeeze(1)
                live = len(stay)
                if not live:
                    return
                stay = slots.pad(stay, min(slots.bucket(live), len(rows)))
                rows, (carry, memory) = rows[stay], slots.take(stay, (carry, memory))

    @checked
    def solve(
        self,
        batch: Batch,
        max_segments: int | None = None,
        adaptive: bool = True,
        cycles: int | None = None,
        stopping: Stopping | None = None,
    ) -> Prediction:
        """Answer a batch of questions, by default each until its answer is settled; see `unroll`.

        Returns:
            Where each row stopped.
        """
        *_, prediction = self.unroll(batch, max_segments, adaptive, cycles, stopping)
        return prediction

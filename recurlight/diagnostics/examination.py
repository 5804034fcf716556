"""A whole examination of a driver."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from recurlight.diagnostics.calibration import calibration
from recurlight.diagnostics.circles import circling
from recurlight.diagnostics.finding import Report
from recurlight.diagnostics.gradients import alignment, gradient_match
from recurlight.diagnostics.residual import settling
from recurlight.diagnostics.resting import at_rest
from recurlight.diagnostics.solvers import convergence
from recurlight.diagnostics.spectrum import contraction
from recurlight.diagnostics.stillness import liveliness
from recurlight.diagnostics.tracing import trace
from recurlight.errors import DataError
from recurlight.losses import MeanSquaredError, SequenceLoss, StablemaxCrossEntropy
from recurlight.recursion.checks import at_least_one
from recurlight.recursion.driver import Recursion
from recurlight.slots import require_batch
from recurlight.spec.given import checked
from recurlight.types import Batch

__all__ = ["examine"]


@checked
def examine(
    recursion: Recursion,
    batches: Sequence[Batch],
    loss: SequenceLoss | None = None,
    segments: int | None = None,
    cycles: int | None = None,
    seed: int = 0,
) -> Report:
    """Look at the dynamics of a driver on some samples, and judge them.

    It runs in evaluation mode and in the precision of the weights, and leaves modes, weights, buffers,
    gradients and generators as they were. All samples are held at once, with a state for each segment: 64
    are enough.

    Args:
        recursion: The driver.
        batches: Samples, on its device; those without a known answer are left out.
        loss: Loss of a sample; None for `StablemaxCrossEntropy`, of numbers `MeanSquaredError`.
        segments: Segments to run; None for `max_segments`.
        cycles: Cycles in a segment; None for the driver's own.
        seed: Seed of what its parts draw.

    Raises:
        DataError: No sample has a known answer.
        IncompatibleComponents: A batch does not fit the driver.

    Example:
        >>> from recurlight import EveryUpdate, FixedHalting, MixerCell, SingleRefiner, Sizes
        >>> sizes = Sizes(vocab=6, tokens=16, width=32)
        >>> recursion = Recursion(sizes, SingleRefiner(MixerCell()), EveryUpdate(), FixedHalting(), cycles=3)
        >>> ones = torch.ones(4, 16, dtype=torch.int64)
        >>> report = examine(recursion, [Batch(ones, ones, 0 * ones[:, 0])], segments=2)
        >>> [(finding.name, finding.verdict) for finding in report.findings if finding.name == "halting"]
        [('halting', 'unjudged')]
    """
    segments = at_least_one("segments", segments, recursion.max_segments)
    loss = loss or (MeanSquaredError() if recursion.sizes.targets else StablemaxCrossEntropy())
    with at_rest(recursion, seed):
        batch = _joined(recursion, batches)
        seen = trace(recursion, batch, segments, cycles)
        match = gradient_match(recursion, batch, loss)
        findings = (
            settling(seen),
            circling(seen),
            contraction(recursion, batch, seen, seed),
            alignment(match),
            convergence(recursion.truncation, match.diagnostics),
            calibration(recursion.halting, seen, batch, loss),
            liveliness(seen),
        )
    return Report(_title(recursion, batch, segments, cycles), findings)


def _joined(recursion: Recursion, batches: Sequence[Batch]) -> Batch:
    """Return the samples that have an answer, as one batch."""
    for batch in batches:
        require_batch(batch, recursion.sizes, recursion)
    kept = [Batch(*(field[batch.answered()] for field in batch)) for batch in batches]
    if not any(len(batch.task) for batch in kept):
        raise DataError("examine got no sample whose answer is known: give batches with supervised labels")
    return Batch(*(torch.cat(fields) for fields in zip(*kept, strict=True)))


def _title(recursion: Recursion, batch: Batch, segments: int, cycles: int | None) -> str:
    parts = (recursion.refiner, recursion.truncation, recursion.halting)
    names = ", ".join(type(part).__name__ for part in parts)
    return f"{len(batch.task)} samples, {segments} x {cycles or recursion.cycles} cycles: {names}"

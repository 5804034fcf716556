"""How near the gradient of the truncation is to that of full back-propagation."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor

from recurlight import draw
from recurlight.diagnostics.finding import Finding
from recurlight.diagnostics.resting import lent
from recurlight.draw.seeding import generators_kept
from recurlight.losses import SequenceLoss
from recurlight.recursion.driver import Recursion
from recurlight.truncation import EveryUpdate
from recurlight.truncation.base import GradientTruncation
from recurlight.types import Batch

__all__ = ["GradientMatch", "alignment", "gradient", "gradient_match"]


class GradientMatch(NamedTuple):
    """A gradient beside the full one.

    Attributes:
        cosine: Of the angle between them, in [-1, 1]; NaN where one is zero or not finite.
        ratio: Length of the truncation's gradient over that of the full one.
        diagnostics: What the truncation says of its run, such as the residuals of its solvers.
    """

    cosine: float
    ratio: float
    diagnostics: dict[str, float]


def gradient(
    recursion: Recursion, batch: Batch, loss: SequenceLoss, truncation: GradientTruncation
) -> Tensor:
    """Return the gradient of the mean loss of a first segment in every trained weight, `(P,)`.

    Args:
        recursion: The driver.
        batch: Samples that every slot begins with, `(B, ...)`.
        loss: Loss of a sample; that of halting is left out.
        truncation: Which updates carry gradient.
    """
    weights = [weight for weight in recursion.parameters() if weight.requires_grad]
    device = batch.inputs.device
    with torch.enable_grad(), generators_kept(device), lent(recursion, truncation=truncation):
        with draw.of_batch(len(batch.task)):
            _, segment, _ = recursion.segment(recursion.start(batch), batch)
        total = loss(segment.logits, batch.labels).mean()
        if not weights:  # all are frozen
            none: Tensor = total.new_zeros(1)
            return none
        found = torch.autograd.grad(total, weights, allow_unused=True)
    parts = [torch.zeros_like(w) if g is None else g for g, w in zip(found, weights, strict=True)]
    return torch.cat([part.flatten() for part in parts])


def gradient_match(recursion: Recursion, batch: Batch, loss: SequenceLoss) -> GradientMatch:
    """Compare the gradient of the driver's truncation with that of `EveryUpdate` on the same samples.

    Args:
        recursion: The driver.
        batch: Samples that every slot begins with, `(B, ...)`.
        loss: Loss of a sample.
    """
    own = copy.deepcopy(recursion.truncation)  # one may remember its last run, which is training's
    short = gradient(recursion, batch, loss, own)
    full = gradient(recursion, batch, loss, EveryUpdate())
    lengths = torch.linalg.vector_norm(short), torch.linalg.vector_norm(full)
    cosine = (short @ full / (lengths[0] * lengths[1])).clamp(-1, 1).item()
    said = {name: value.item() for name, value in own.diagnostics().items()}
    return GradientMatch(cosine, (lengths[0] / lengths[1]).item(), said)


def alignment(match: GradientMatch) -> Finding:
    """Judge the angle: `watch` below a cosine of 0.1, `broken` at 0 or less, where a step leads uphill."""
    figures = {"cosine": match.cosine, "norm_ratio": match.ratio}
    text = (
        f"cosine {match.cosine:.2f} to full back-propagation in a first segment, {match.ratio:.2g} its length"
    )
    if not math.isfinite(match.cosine):
        return Finding("gradient", "unjudged", "a gradient is zero or not finite", figures)
    if match.cosine >= 0.1:
        return Finding("gradient", "fine", text, figures)
    change = "a longer window, such as LastCycles with a higher count, or fewer cycles"
    return Finding("gradient", "watch" if match.cosine > 0 else "broken", text, figures, change)

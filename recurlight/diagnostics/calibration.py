"""Whether a halting policy knows when it is right."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from recurlight.diagnostics.finding import Finding, Verdict
from recurlight.diagnostics.tracing import Trace
from recurlight.halting.base import Halting
from recurlight.losses import SequenceLoss
from recurlight.types import Batch

__all__ = [
    "Coverage",
    "Reliability",
    "calibration",
    "calibration_error",
    "chance_error",
    "coverage_risk",
    "judges",
    "reliability",
]


class Reliability(NamedTuple):
    """How often answers are right that a policy is so sure of.

    Attributes:
        confidence: Mean confidence of each bin, 0 for an empty one.
        accuracy: Share of right answers in it, 0 for an empty one.
        answers: How many there are in it.
    """

    confidence: Tensor
    accuracy: Tensor
    answers: Tensor


class Coverage(NamedTuple):
    """What share of wrong answers is taken on with a share of all, the surest first.

    Attributes:
        coverage: Share of all answers, `(n,)`, rising to 1.
        risk: Share of wrong ones among them, `(n,)`.
    """

    coverage: Tensor
    risk: Tensor


def reliability(confidence: Tensor, correct: Tensor, bins: int = 10) -> Reliability:
    """Sort answers by confidence into bins of equal width.

    Args:
        confidence: In [0, 1], `(n,)`.
        correct: Whether each answer is right, `(n,)` bool.
        bins: Number of bins.

    Example:
        >>> reliability(torch.tensor([0.2, 0.9, 0.8]), torch.tensor([False, True, False]), bins=2).accuracy
        tensor([0.0000, 0.5000])
    """
    sure = confidence if confidence.dtype == torch.float64 else confidence.float()
    place = (sure * bins).long().clamp(0, bins - 1)
    count = torch.bincount(place, minlength=bins)
    known = count.clamp(min=1)
    sums = (torch.bincount(place, part.to(sure.dtype), minlength=bins) for part in (sure, correct))
    mean, share = ((part / known).to(sure.dtype) for part in sums)
    return Reliability(mean, share, count)


def calibration_error(curve: Reliability) -> Tensor:
    """Return the expected calibration error, 0-d: `sum_b n_b / n |accuracy_b - confidence_b|`.

    Reference:
        Guo et al., On calibration of modern neural networks, arXiv:1706.04599.
    """
    off = (curve.accuracy - curve.confidence).abs()
    return (curve.answers * off).sum() / curve.answers.sum().clamp(min=1)


def chance_error(confidence: Tensor, bins: int = 10, repeats: int = 1) -> Tensor:
    """Return about how much of the calibration error chance makes of a head that is calibrated, 0-d.

    `sqrt(2 / pi) / n sum_b sqrt(repeats sum_(i in b) p_i (1 - p_i))`: the mean length of a normal number for
    each bin, whose answers are right by the toss of a coin.

    Args:
        confidence: In [0, 1], `(n,)`.
        bins: Number of bins.
        repeats: Answers of the same sample, which are right or wrong together.

    Example:
        >>> round(chance_error(torch.full((64,), 0.5)).item(), 3)
        0.05
    """
    place = (confidence * bins).long().clamp(0, bins - 1)
    varied = torch.bincount(place, confidence * (1 - confidence), minlength=bins)
    return math.sqrt(2 / math.pi) * (repeats * varied).sqrt().sum() / max(len(confidence), 1)


def coverage_risk(confidence: Tensor, correct: Tensor) -> Coverage:
    """Return the risk of taking only the surest answers, for every share of them.

    Args:
        confidence: `(n,)`.
        correct: Whether each answer is right, `(n,)` bool.

    Example:
        >>> coverage_risk(torch.tensor([0.1, 0.9]), torch.tensor([False, True])).risk
        tensor([0.0000, 0.5000])
    """
    order = confidence.argsort(descending=True, stable=True)
    taken = torch.arange(1, len(order) + 1, device=order.device)
    wrong = (~correct[order]).cumsum(0)
    return Coverage(taken / len(order), wrong / taken)


def judges(halting: Halting) -> bool:
    """Return whether a policy says how sure it is that the answer is right."""
    return type(halting).confidence is not Halting.confidence


def calibration(halting: Halting, seen: Trace, batch: Batch, loss: SequenceLoss) -> Finding:
    """Judge the expected calibration error over all segments, less what chance makes of it.

    `watch` above 0.1, `broken` above 0.25.

    Args:
        halting: The policy.
        seen: How a driver solved the batch.
        batch: Samples whose answers are known, `(B, ...)`.
        loss: Says which answers are right.
    """
    if not judges(halting):
        return Finding("halting", "unjudged", f"{type(halting).__name__} has no confidence to calibrate")
    right = torch.stack([loss.right(each.logits, batch.labels) for each in seen.predictions]).cpu()  # (S, B)
    sure = torch.stack([each.confidence for each in seen.predictions]).cpu()
    curve, last = reliability(sure.flatten(), right.flatten()), coverage_risk(sure[-1], right[-1])
    error, risk = calibration_error(curve).item(), last.risk.mean().item()
    chance = chance_error(sure.flatten(), repeats=len(sure)).item()
    mean, accuracy = sure.mean().item(), right.float().mean().item()
    figures = {"calibration_error": error, "calibration_chance": chance, "mean_risk": risk}
    figures |= {"confidence": mean, "accuracy": accuracy}
    text = f"calibration error {error:.2f}, by chance {chance:.2f}: "
    text += f"{mean:.0%} sure and {accuracy:.0%} right over all segments"
    curves = {name: part.tolist() for name, part in (curve._asdict() | last._asdict()).items()}
    verdict: Verdict = "fine" if error - chance <= 0.1 else "watch" if error - chance <= 0.25 else "broken"
    change = "" if verdict == "fine" else _CHANGE_SURE if mean > accuracy else _CHANGE_SHY
    return Finding("halting", verdict, text, figures, change, curves)


_CHANGE_SURE = (
    "more exploration, more or harder puzzles: it is surer than right, and adaptive solves stop too soon"
)
_CHANGE_SHY = (
    "a higher halting_weight or longer training: it is righter than sure, and solves go on for nothing"
)

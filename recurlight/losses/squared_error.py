"""The loss of answers that are numbers, and their error."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from recurlight.errors import IncompatibleComponents
from recurlight.losses.base import SequenceLoss
from recurlight.numerics import at_least_float32
from recurlight.spec.given import within
from recurlight.types import supervised

__all__ = ["MeanSquaredError", "relative_error"]


def relative_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the relative L2 error of each sample, `|outputs - labels| / |labels|` over supervised numbers.

    Args:
        outputs: `(B, L, G)` of any float dtype.
        labels: `(B, L, G)`, NaN where not supervised.

    Returns:
        `(B,)` float32 (float64 for float64 outputs); infinite where all labels are 0 and the outputs are not,
        NaN where the outputs are 0 too, or nothing is supervised.

    Example:
        >>> labels = torch.tensor([[[3.0], [4.0], [torch.nan]]])
        >>> relative_error(torch.tensor([[[3.0], [4.5], [9.0]]]), labels)
        tensor([0.1000])
    """
    counts, outputs = supervised(labels), at_least_float32(outputs)
    labels = labels.where(counts, 0.0).to(outputs.dtype)
    apart = (outputs - labels).where(counts, 0.0).flatten(1)
    error: Tensor = torch.linalg.vector_norm(apart, dim=1) / torch.linalg.vector_norm(
        labels.flatten(1), dim=1
    )
    return error


class MeanSquaredError(SequenceLoss):
    """Mean squared error of the supervised numbers of a sample, for answers that are numbers.

    `loss[b] = mean over supervised numbers of (output - label)^2`. A sample counts as *right* when

    - its relative L2 error is at most the tolerance, `|output - label|_2 <= tolerance |label|_2`, each norm
      over its supervised numbers; a sample whose labels are all 0 then has to be met exactly;
    - with `absolute`, none of its supervised numbers is further than the tolerance from its label.

    Halting learns this, and exact accuracy counts it; the loss does not depend on it.

    Args:
        tolerance: Error up to which a sample is right, above 0.
        absolute: Compare each number by itself, in the units of the labels.

    Raises:
        IncompatibleComponents: The tolerance is not above 0.

    Example:
        >>> labels = torch.tensor([[[3.0], [4.0], [torch.nan]]])
        >>> outputs = torch.tensor([[[3.0], [4.5], [9.0]]])  # |(0, 0.5)| = 0.5, |(3, 4)| = 5
        >>> MeanSquaredError()(outputs, labels)
        tensor([0.1250])
        >>> MeanSquaredError(tolerance=0.1).right(outputs, labels)
        tensor([True])
        >>> MeanSquaredError(tolerance=0.4, absolute=True).right(outputs, labels)
        tensor([False])

    Reference:
        The relative L2 error is the measure of Li et al., Fourier neural operator, arXiv:2010.08895.
    """

    numbers: ClassVar[bool] = True

    def __init__(self, tolerance: float = 0.01, absolute: bool = False) -> None:
        super().__init__()
        within("MeanSquaredError", "tolerance", tolerance, above=0)
        self.tolerance, self.absolute = tolerance, absolute

    def token_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the squared error of each number, `(B, L, G)`.

        Raises:
            IncompatibleComponents: The read-out has another number of numbers.
        """
        if logits.shape != labels.shape:
            raise IncompatibleComponents(
                f"MeanSquaredError got outputs {tuple(logits.shape)} and labels {tuple(labels.shape)}: give "
                "a decoder that reads out as many numbers as the labels have, such as ContinuousDecoder"
            )
        return (logits - labels).square()

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Tell which samples are within the tolerance, `(B,)` bool; one without supervised numbers is not."""
        counts, logits = supervised(labels), at_least_float32(logits)
        known = labels.where(counts, 0.0).to(logits.dtype)
        apart = (logits - known).where(counts, 0.0).flatten(1)  # (B, L * G)
        if self.absolute:
            within_it = (apart.abs() <= self.tolerance).all(1)
        else:
            size = torch.linalg.vector_norm(known.flatten(1), dim=1)
            within_it = torch.linalg.vector_norm(apart, dim=1) <= self.tolerance * size
        return counts.flatten(1).any(1) & within_it

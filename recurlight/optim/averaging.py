"""Averaged weights that stay on the device and are updated without waiting for it."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["SteadyAverage"]


class SteadyAverage(AveragedModel):
    """An average of weights as another one, on a device, which no update but the first waits for.

    `AveragedModel` asks the device in every update how many there were. What it computes is the same; it does
    so itself where the formula is for many tensors at once, or the weights are equal.

    Args:
        other: What is averaged, by which formula, and how far it has come.
        device: Where the average is kept; best where the weights are.

    Example:
        >>> from torch.optim.swa_utils import get_ema_avg_fn
        >>> model = nn.Linear(1, 1)
        >>> other = AveragedModel(model, avg_fn=get_ema_avg_fn(0.9))
        >>> SteadyAverage(other, torch.device("meta")).module.weight.device
        device(type='meta')
    """

    def __init__(self, other: AveragedModel, device: torch.device) -> None:
        super().__init__(other.module, device, other.avg_fn, other.multi_avg_fn, other.use_buffers)
        self.n_averaged.copy_(other.n_averaged)
        self.begun = bool(other.n_averaged > 0)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take in the weights of a model."""
        if not self.begun or self.avg_fn is None:
            super().update_parameters(model)
            self.begun = True
            return
        for ours, theirs in zip(self.module.parameters(), model.parameters(), strict=True):
            ours.copy_(self.avg_fn(ours, theirs, self.n_averaged))
        for own, new in zip(self.module.buffers(), model.buffers(), strict=True):
            own.copy_(self.avg_fn(own, new, self.n_averaged) if self.use_buffers else new)
        self.n_averaged += 1

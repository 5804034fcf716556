"""Looking for NaN and infinity in what a training step leaves behind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recurlight.codec.task_table import tables_of

__all__ = ["Evidence", "gradients", "silence"]

SHOWN = 3

Part = tuple[str, Sequence[object], Tensor]
"""What is looked at, such as "the loss", the names of its places, and the largest magnitude in each, on the
device: not finite where and only where a value is not."""


class Evidence(NamedTuple):
    """What a step has left, as far as it is looked at."""

    step: int
    """Number of the step, from 1."""
    parts: list[Part]

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        step: int,
        losses: Sequence[Tensor],
        grads: Mapping[str, Tensor],
        carries: Iterable[tuple[str, Tensor]],
    ) -> Evidence:
        """Look at a step after its backward.

        Args:
            step: Number of the step, from 1.
            losses: Loss of each micro-batch, 0-d, at least one.
            grads: Gradients to look at, by the name of the parameter.
            carries: Magnitudes of the carried states, by field and slot; see `Carries.magnitudes`.
        """
        parts: list[Part] = [("the loss", [""] * len(losses), torch.stack(list(losses)))]
        parts += [(f"{name} of the carry in slot ", range(len(size)), size) for name, size in carries]
        if grads:
            norms = torch._foreach_norm(list(grads.values()), torch.inf)
            parts.append(("the gradient of ", list(grads), torch.stack([norm.float() for norm in norms])))
        return cls(step, parts)

    def flaw(self) -> Tensor:
        """Return 1 when anything is non-finite and 0 otherwise, int32 on the device."""
        return (~torch.cat([sizes.isfinite() for _, _, sizes in self.parts]).all()).int()

    def findings(self) -> list[str]:
        """Say which tensors are non-finite; this waits for the device."""
        found = []
        for noun, places, sizes in self.parts:
            pairs = zip(places, sizes.tolist(), strict=True)
            kinds = {str(place): str(abs(size)) for place, size in pairs if not math.isfinite(size)}
            if kinds:
                more = f" and {len(kinds) - SHOWN} more" if len(kinds) > SHOWN else ""
                found.append(f"{noun}{', '.join([*kinds][:SHOWN])}{more} ({min(kinds.values())})")
        return found


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """Return all gradients by the name of the parameter; of a sparse one, the values that it holds."""
    found = ((name, weight.grad) for name, weight in module.named_parameters())
    grads = {name: grad._values() if grad.is_sparse else grad for name, grad in found if grad is not None}
    for name, table in tables_of(module).items():
        grads |= {f"{name}.rows[{place}]": grad for place, (_, grad) in enumerate(table.received)}
    return grads


def silence(tensors: Iterable[Tensor], flaw: Tensor) -> None:
    """Zero tensors in place when `flaw` is 1 and leave every bit of them when it is 0, without asking which.

    They are filled and not multiplied, for NaN would survive a factor of 0.
    """
    for tensor in tensors:
        tensor.masked_fill_(flaw.bool(), 0)

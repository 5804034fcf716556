"""Looking for NaN and infinity in what a training step leaves behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import keystr, tree_flatten_with_path

from recurlight.codec.task_table import tables_of
from recurlight.types import State

__all__ = ["Evidence", "gradients", "silence"]

SHOWN = 3

BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Evidence(NamedTuple):
    """Magnitudes that are non-finite where and only where the values are, all on the device."""

    step: int
    """Number of the step, from 1."""
    losses: Tensor
    """Loss of each micro-batch."""
    names: list[str]
    """Parameters that have a gradient."""
    gradients: Tensor
    """Largest magnitude in the gradient of each of them."""
    carries: list[tuple[str, Tensor]]
    """Fields of the carried states, each with the largest magnitude in every slot, `(B,)`."""

    @classmethod
    @torch.no_grad()
    def of(
        cls, step: int, losses: Sequence[Tensor], grads: Mapping[str, Tensor], states: Sequence[State]
    ) -> Evidence:
        """Look at a step after its backward.

        Args:
            step: Number of the step, from 1.
            losses: Loss of each micro-batch, 0-d, at least one.
            grads: Gradients to look at, by the name of the parameter.
            states: Carried state of each micro-batch.
        """
        loss = torch.stack(list(losses))
        norms = torch._foreach_norm(list(grads.values()), torch.inf) if grads else []
        sizes = torch.stack([norm.float() for norm in norms]) if grads else loss[:0]
        return cls(step, loss, list(grads), sizes, [field for state in states for field in _slots(state)])

    def flaw(self) -> Tensor:
        """Return 1 when anything is non-finite and 0 otherwise, int32 on the device."""
        parts = (self.losses, self.gradients, *(slots for _, slots in self.carries))
        return (~torch.cat([part.isfinite() for part in parts]).all()).int()

    def findings(self) -> list[str]:
        """Say which tensors are non-finite; this waits for the device."""
        losses = [_kind(loss) for loss in self.losses.tolist()]
        found = [f"the loss ({kind})" for kind in losses if kind][:1]
        for name, slots in self.carries:
            kinds = {slot: kind for slot, value in enumerate(slots.tolist()) if (kind := _kind(value))}
            if kinds:
                found.append(
                    f"{name} of the carry in {_several('slot', list(kinds))} ({min(kinds.values())})"
                )
        norms = zip(self.names, self.gradients.tolist(), strict=True)
        names = [f"{name} ({kind})" for name, value in norms if (kind := _kind(value))]
        return found + ([f"the gradient of {_several('', names)}"] if names else [])


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """Return all gradients by the name of the parameter; of a sparse one, the values that it holds."""
    found = ((name, weight.grad) for name, weight in module.named_parameters())
    grads = {name: grad._values() if grad.is_sparse else grad for name, grad in found if grad is not None}
    for name, table in tables_of(module).items():
        grads |= {f"{name}.rows[{place}]": grad for place, (_, grad) in enumerate(table.received)}
    return grads


def silence(tensors: Iterable[Tensor], flaw: Tensor) -> None:
    """Zero tensors in place when `flaw` is 1 and leave every bit of them when it is 0, without asking which.

    The product is one of integers, on the same bits: nothing that a float holds survives a factor of 0, NaN
    included, and a factor of 1 changes nothing.
    """
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        bits = BITS[tensor.element_size()]
        by_type.setdefault(bits, []).append(tensor.view(bits))
    for bits, views in by_type.items():
        torch._foreach_mul_(views, (1 - flaw).to(bits))


def _slots(state: State) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the largest magnitude in every slot of each floating-point field."""
    for path, leaf in tree_flatten_with_path(state)[0]:
        if leaf.is_floating_point():
            rows = leaf.reshape(len(leaf), -1)
            yield keystr(path).lstrip("."), torch.linalg.vector_norm(rows, torch.inf, dim=1)


def _kind(value: float) -> str:
    """Return what kind of non-finite a number is, an empty string for a finite one."""
    return "nan" if value != value else "inf" if abs(value) == torch.inf else ""


def _several(noun: str, items: Sequence[object]) -> str:
    """List the first few of something."""
    plural = "s" if noun and len(items) > 1 else ""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"{noun}{plural} {', '.join(map(str, items[:SHOWN]))}{more}".strip()

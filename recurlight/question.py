"""Whether gradient reaches the question: the one check that follows a policy through a whole segment."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from recurlight.composition import floats
from recurlight.errors import IncompatibleComponents
from recurlight.refiners.base import Refiner
from recurlight.truncation.base import GradientTruncation
from recurlight.types import Sizes

__all__ = ["check_question"]


def check_question(
    encoder: nn.Module, refiner: Refiner[Any], truncation: GradientTruncation, sizes: Sizes, cycles: int
) -> None:
    """Refuse a window without any update that reads the question, for the encoder would never learn.

    Raises:
        IncompatibleComponents: With the setting to change.
    """
    if not any(weight.requires_grad for weight in encoder.parameters()):
        return
    question = torch.zeros(1, 1, requires_grad=True)
    with torch.enable_grad():
        shadow = _Shadow(refiner, sizes)
        # A copy, because a policy may remember its last run.
        end = copy.deepcopy(truncation).run(shadow, shadow.initial_state(question), question, cycles)
        reached = _depends(end.answer, question)
    if not reached:
        raise IncompatibleComponents(
            f"{truncation!r} leaves the encoder untrained: no update that reads the question has gradient; "
            "set truncation LastCycles(count=1) or a longer window, or freeze the encoder"
        )


class _Shadow(Refiner[Any]):
    """A refiner with one number for each field, to follow gradient through a policy at no cost.

    The question is its only leaf with gradient. Every update is taken to read all levels; updates and start
    read the question where those of the refiner that it stands for do.
    """

    def __init__(self, refiner: Refiner[Any], sizes: Sizes) -> None:
        super().__init__()
        tensor = next(floats(refiner), torch.zeros(()))
        question = tensor.new_zeros(1, sizes.positions, sizes.width).requires_grad_()
        start = refiner.initial_state(question)
        state = type(start)(*(leaf.detach() for leaf in start))
        self.levels, self.state = refiner.schedule(), type(start)
        self.starting = [_depends(leaf, question) for leaf in start]
        self.reading = [
            level
            for level in dict.fromkeys(self.levels)
            if _depends(getattr(refiner.update(state, question, level), level), question)
        ]

    def cells(self) -> dict[str, nn.Module]:
        return {}

    def schedule(self) -> tuple[str, ...]:
        return self.levels

    def initial_state(self, injection: Tensor) -> Any:
        return self.state(*(injection if flag else torch.zeros(1, 1) for flag in self.starting))

    def update(self, state: Any, injection: Tensor, level: str) -> Any:
        whole = sum(state)
        return state._replace(**{level: whole + injection if level in self.reading else whole})


def _depends(output: Tensor, source: Tensor) -> bool:
    """Tell whether gradient passes from `output` to `source`, be it zero."""
    if not output.requires_grad:
        return False
    return torch.autograd.grad(output.sum(), source, retain_graph=True, allow_unused=True)[0] is not None

"""Which levels the loss can train: a backward pass of liveness over the updates of a segment."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.numerics import floats
from recurlight.refiners.base import Refiner
from recurlight.truncation.base import GradientTruncation
from recurlight.types import Sized, Sizes

__all__ = [
    "check_question",
    "passes_gradient",
    "reached_levels",
    "reads_question",
    "recorded_updates",
    "require_gradient",
    "require_stationary",
]


def reached_levels(updates: Sequence[str], mask: Sequence[bool]) -> frozenset[str]:
    """Find the levels that have an update which gradient reaches from the answer at the end.

    Every update is taken to read all levels and to replace one. An update recorded without gradient cuts
    the level that it writes.

    Args:
        updates: Level written by each update, in order.
        mask: Whether each update carries gradient.

    Example:
        >>> sorted(reached_levels(["latent", "answer", "latent"], [True, True, True]))
        ['answer', 'latent']
        >>> sorted(reached_levels(["latent", "answer", "latent"], [False, True, True]))
        ['answer']
    """
    levels = {"answer", *updates}
    live = {"answer"}
    reached = set()
    for level, recorded in zip(reversed(updates), reversed(mask), strict=True):
        if level not in live:
            continue
        if recorded:
            reached.add(level)
            live = set(levels)
        else:
            live.discard(level)
    return frozenset(reached)


def _weights(cell: nn.Module) -> set[int]:
    """Identify what a cell has to train: its parameters, and its parts that will have some once built."""
    parameters = {id(weight) for weight in cell.parameters() if weight.requires_grad}
    return parameters | {
        id(part) for part in cell.modules() if isinstance(part, Sized) and part.sizes is None
    }


def _starved(cells: dict[str, nn.Module], reached: Iterable[str]) -> list[str]:
    """Name the levels whose cell has a weight that no reached level trains."""
    trained: set[int] = set()
    trained.update(*(_weights(cells[level]) for level in reached if level in cells))
    return [level for level, cell in cells.items() if not _weights(cell) <= trained]


def _remedy(cells: dict[str, nn.Module], updates: Sequence[str], level: str, name: str) -> str:
    """Say which line to change so that every cell gets gradient."""
    total = len(updates)
    for count in range(1, total + 1):
        mask = [index >= total - count for index in range(total)]
        if not _starved(cells, reached_levels(updates, mask)):
            return f"set truncation LastUpdates(count=...) to at least {count}, or freeze the cell"
    if level not in updates:
        return f"add {level!r} to schedule() of {name}, or freeze the cell"
    return f"let an update of 'answer' follow {level!r} in schedule() of {name}, or freeze the cell"


def require_gradient(
    refiner: Refiner[Any], updates: Sequence[str], mask: Sequence[bool], policy: object
) -> None:
    """Refuse a segment that leaves a cell without gradient, which distributed training cannot bear.

    Cells are compared by their weights, so a level may go without gradient if its cell is shared with a
    level that has some; cells with nothing to train are exempt.

    Args:
        refiner: Supplies the cells.
        updates: Level written by each update of the segment, in order.
        mask: Whether each update carries gradient.
        policy: Named in the message.

    Raises:
        IncompatibleComponents: With the level, the reason and the setting to change.
    """
    cells, name = refiner.cells(), type(refiner).__name__
    starved = _starved(cells, reached_levels(updates, mask))
    if not starved:
        return
    recorded = {update for update, flag in zip(updates, mask, strict=True) if flag}
    # A level that is missing from the window is often why the others are not reached: name it first.
    level = min(starved, key=lambda name: (name in updates, name in recorded))
    if level not in updates:
        why = f"{name} never updates it"
    elif level not in recorded:
        why = "no update of it carries gradient"
    else:
        why = "what its updates in the window write is lost before it reaches the answer"
    remedy = _remedy(cells, updates, level, name)
    raise IncompatibleComponents(f"{policy!r} leaves the cell of level {level!r} untrained: {why}; {remedy}")


def require_stationary(refiner: Refiner[Any], policy: object) -> None:
    """Refuse refiners whose cycle changes from call to call, for it has no fixed point.

    Raises:
        IncompatibleComponents: The refiner declares `stationary = False`.
    """
    if not refiner.stationary:
        raise IncompatibleComponents(
            f"{policy!r} needs the same cycle every time, but {type(refiner).__name__} has stationary=False "
            "(noise or step embeddings): set truncation LastCycles(count=1) or another window"
        )


def check_question(
    encoder: nn.Module, refiner: Refiner[Any], truncation: GradientTruncation, sizes: Sizes, cycles: int
) -> None:
    """Refuse a window without any update that reads the question, for the encoder would never learn.

    Where the start alone reads it, the window must reach back to the start of a segment.

    Raises:
        IncompatibleComponents: With the setting to change.
    """
    if not any(weight.requires_grad for weight in encoder.parameters()):
        return
    question = torch.zeros(1, 1, 1, requires_grad=True)
    with torch.enable_grad():
        shadow = _Shadow(refiner, sizes)
        # A copy, because a policy may remember its last run.
        end = copy.deepcopy(truncation).run(shadow, shadow.initial_state(question), question, cycles)
        reached = _depends(end.answer, question)
    if not reached:
        name = type(refiner).__name__
        raise IncompatibleComponents(
            f"{truncation!r} leaves the encoder untrained: {_unread(shadow, name)}, or freeze the encoder"
        )


def _unread(shadow: _Shadow, name: str) -> str:
    """Say why no gradient reaches the question, and what to change."""
    if shadow.reading:
        return (
            "no update that reads the question has gradient; set truncation LastCycles(count=1) or a longer "
            "window"
        )
    if any(shadow.starting):
        return (
            f"{name} reads the question at its start alone, and no gradient passes from the end of a segment "
            "to its start; set truncation EveryUpdate, or LastPerLevel with every update of 'answer'"
        )
    return f"{name} never reads the question; use injection in its update or in its initial_state"


def reads_question(refiner: Refiner[Any], sizes: Sizes) -> bool:
    """Tell whether an update reads the question; otherwise the start of a sample alone may."""
    with torch.enable_grad():
        return bool(_Shadow(refiner, sizes).reading)


def passes_gradient(refiner: Refiner[Any], truncation: GradientTruncation, sizes: Sizes, cycles: int) -> bool:
    """Tell whether gradient passes through a whole segment, from the answer to the state on entry."""
    with torch.enable_grad():
        shadow = _Shadow(refiner, sizes)
        start = shadow.state(*(torch.zeros(1, 1, 1, requires_grad=True) for _ in shadow.starting))
        end = copy.deepcopy(truncation).run(shadow, start, torch.zeros(1, 1, 1), cycles)
        return any(_depends(end.answer, leaf) for leaf in start)


def recorded_updates(
    refiner: Refiner[Any], truncation: GradientTruncation, sizes: Sizes, cycles: int
) -> tuple[bool, ...]:
    """Tell of each update of a segment of training, in order, whether it carries gradient.

    Found by running the policy on one number, so that it holds for every policy. Where a policy solves, all
    the points that it tries count.

    Args:
        refiner: Supplies the updates.
        truncation: The policy.
        sizes: Of the composition.
        cycles: Cycles in a segment of training.
    """
    with torch.enable_grad():
        shadow = _Shadow(refiner, sizes)
        start = shadow.initial_state(torch.zeros(1, 1, 1, requires_grad=True))
        copy.deepcopy(truncation).run(shadow, start, torch.zeros(1, 1, 1), cycles)
    return tuple(shadow.recorded)


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
        self.recorded: list[bool] = []

    def cells(self) -> dict[str, nn.Module]:
        return {}

    def schedule(self) -> tuple[str, ...]:
        return self.levels

    def initial_state(self, injection: Tensor) -> Any:
        return self.state(*(injection if flag else torch.zeros(1, 1, 1) for flag in self.starting))

    def update(self, state: Any, injection: Tensor, level: str) -> Any:
        self.recorded.append(torch.is_grad_enabled())
        whole = sum(state)
        return state._replace(**{level: whole + injection if level in self.reading else whole})


def _depends(output: Tensor, source: Tensor) -> bool:
    """Return whether gradient passes from `output` to `source`, be it zero."""
    if not output.requires_grad:
        return False
    return torch.autograd.grad(output.sum(), source, retain_graph=True, allow_unused=True)[0] is not None

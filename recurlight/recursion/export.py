"""A trained driver as one program for any number of questions, which runs without this package.

Imported on use alone, for `torch.export` takes a while to import.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from recurlight.errors import IncompatibleComponents
from recurlight.recursion.checks import at_least_one
from recurlight.recursion.driver import Recursion
from recurlight.spec.given import checked
from recurlight.types import Batch, Carry

__all__ = ["export_segment", "export_solve"]

ROWS = 2
"""Questions with which a program is traced; it takes any number, where 1 would be taken for fixed."""

BATCH = Dim("batch", min=1)


class _Solve(nn.Module):
    """All segments of an evaluation."""

    def __init__(self, recursion: Recursion, segments: int, cycles: int | None) -> None:
        super().__init__()
        self.recursion, self.segments, self.cycles = recursion, segments, cycles

    def forward(self, tokens: Tensor, task: Tensor) -> dict[str, Tensor]:
        carry = self.recursion.start(_batch(self.recursion, tokens, task))
        for _ in range(self.segments):
            carry, segment, score = self.recursion.segment(carry, carry.batch, self.cycles)
            if (feedback := self.recursion.feedback) is not None:
                carry = carry._replace(guess=feedback.towards(segment.logits, carry, self.segments))
        halting = self.recursion.halting
        judged = {"halted": halting.should_halt(score, carry.age), "confidence": halting.confidence(score)}
        return {"logits": segment.logits, **judged}


class _Segment(nn.Module):
    """One segment, from a state to the next."""

    def __init__(self, recursion: Recursion, cycles: int | None, state: Callable[..., Any]) -> None:
        super().__init__()
        self.recursion, self.cycles, self.state = recursion, cycles, state

    def forward(
        self, tokens: Tensor, task: Tensor, age: Tensor, halted: Tensor, state: dict[str, Tensor]
    ) -> dict[str, Tensor | dict[str, Tensor]]:
        batch = _batch(self.recursion, tokens, task)
        carry = Carry(self.state(**state), batch, age, halted)
        carry, segment, score = self.recursion.segment(carry, batch, self.cycles)
        halting, now = self.recursion.halting, _fields(carry)
        judged = {"halted": halting.should_halt(score, carry.age), "confidence": halting.confidence(score)}
        return {"logits": segment.logits, "age": carry.age, "state": now, **judged}


def _fields(carry: Carry) -> dict[str, Tensor]:
    """Return the fields of the state of a carry."""
    state: Any = carry.state
    fields: dict[str, Tensor] = state._asdict()
    return fields


@checked
def export_solve(
    recursion: Recursion, segments: int | None = None, cycles: int | None = None
) -> ExportedProgram:
    """Turn the answering of a batch of any size into one program of torch.

    The program maps `tokens` `(B, L)` and `task` `(B,)`, both int64, given by name, to a dictionary of
    `logits`, `(B, L, V)`, `halted`, whether the policy would stop now, and its `confidence`, both `(B,)`.
    Where questions are numbers, `tokens` are these, `(B, L, F)` float32; answers of numbers are `(B, L, G)`.
    Every row runs all segments, as with `solve(adaptive=False)`, whose numbers these are; for rows that stop
    early use `export_segment`. Tokens out of range are not looked for.

    Args:
        recursion: Exported as it is now, in evaluation mode; it stays as it is.
        segments: Segments to run; None for the model's cap.
        cycles: Cycles in a segment; None for the model's own.

    Returns:
        The program: call its `module()`, or write it by `torch.export.save`.

    Raises:
        IncompatibleComponents: A number is below 1, or a part cannot be exported for any number of rows.

    Example:
        >>> from recurlight import FixedHalting, EveryUpdate, MixerCell, SingleRefiner, Sizes
        >>> parts = SingleRefiner(MixerCell(layers=1)), EveryUpdate(), FixedHalting()
        >>> program = export_solve(Recursion(Sizes(6, 16, 32), *parts, cycles=1), segments=1)
        >>> tokens = torch.ones(5, 16, dtype=torch.int64)
        >>> program.module()(tokens=tokens, task=tokens[:, 0])["logits"].shape
        torch.Size([5, 16, 6])
    """
    count = at_least_one("segments", segments, recursion.max_segments)
    tokens, task = _questions(recursion)
    return _exported(_Solve(_still(recursion), count, cycles), {"tokens": tokens, "task": task})


@checked
def export_segment(recursion: Recursion, cycles: int | None = None) -> ExportedProgram:
    """Turn one segment on a batch of any size into one program of torch, for loops outside this package.

    The program maps `tokens` `(B, L)` and `task` `(B,)`, both int64, `age` `(B,)` int32, `halted` `(B,)` bool
    and `state`, a dictionary of the state's fields, all given by name, to a dictionary of the next `age`,
    `halted` and `state`, and of `logits` and `confidence`, see `export_solve`. A row that is `halted` begins
    its question anew, whatever stands in its state: begin with all of them halted, and give False to go on.

    Args:
        recursion: Exported as it is now, in evaluation mode; it stays as it is.
        cycles: Cycles in a segment; None for the model's own.

    Returns:
        The program; its `example_inputs` show what it takes.

    Raises:
        IncompatibleComponents: `cycles` is below 1, or a part cannot be exported for any number of rows.
    """
    if recursion.feedback is not None:
        raise IncompatibleComponents(
            "a segment that is told a guess cannot be exported alone: use export_solve for the whole model"
        )
    tokens, task = _questions(recursion)
    carry = recursion.start(_batch(recursion, tokens, task))
    inputs = {"tokens": tokens, "task": task, "age": carry.age, "halted": carry.halted}
    # cloned, for an export takes several views of one tensor for one input
    state = {name: leaf.clone() for name, leaf in _fields(carry).items()}
    segment = _Segment(_still(recursion), cycles, type(carry.state))
    return _exported(segment, {**inputs, "state": state})


def _still(recursion: Recursion) -> Recursion:
    """Return a copy in evaluation mode, whose weights ask for no gradient."""
    return copy.deepcopy(recursion).eval().requires_grad_(False)


def _questions(recursion: Recursion) -> tuple[Tensor, Tensor]:
    """Make questions to trace with."""
    device = next((weight.device for weight in recursion.parameters()), None)
    task = torch.zeros(ROWS, dtype=torch.int64, device=device)
    return _zeros(recursion, task, recursion.sizes.features), task


def _zeros(recursion: Recursion, task: Tensor, numbers: int) -> Tensor:
    """Tokens 0 for each row, or so many numbers at each position."""
    shape = task.shape[0], recursion.sizes.tokens
    return task.new_zeros(*shape, numbers, dtype=torch.float32) if numbers else task.new_zeros(shape)


def _batch(recursion: Recursion, tokens: Tensor, task: Tensor) -> Batch:
    """Make a batch of questions; their labels are not looked at."""
    return Batch(tokens, _zeros(recursion, task, recursion.sizes.targets), task)


def _exported(module: nn.Module, inputs: dict[str, Tensor | dict[str, Tensor]]) -> ExportedProgram:
    """Trace a module whose every input has a row for each question, in the precision of its weights."""
    device = next(given.device.type for given in inputs.values() if isinstance(given, Tensor))
    rows = {
        name: {field: {0: BATCH} for field in given} if isinstance(given, dict) else {0: BATCH}
        for name, given in inputs.items()
    }
    try:
        with torch.no_grad(), torch.autocast(device, enabled=False):
            return torch.export.export(module, (), inputs, dynamic_shapes=rows)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise IncompatibleComponents(
            f"the model cannot be exported for any number of rows ({reason}): a part fixes their number, as "
            "len(x) does and x.shape[0] does not, or does otherwise where a value is another"
        ) from error

"""Everything that is checked before the first batch: a composition either trains or is refused here."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.refiners.base import Refiner
from recurlight.truncation.base import GradientTruncation
from recurlight.types import Batch, Sized, Sizes

__all__ = ["bind", "check_batch", "check_evaluation", "check_limits", "check_question", "check_refiner"]


def bind(module: nn.Module, sizes: Sizes, seed: int) -> None:
    """Tell every `Sized` submodule the sizes; weights are drawn on the CPU from `seed` alone.

    Args:
        module: Whole composition; its submodules are built in the order of `module.modules()`.
        sizes: Sizes that all of them share.
        seed: Seed of the generator.
    """
    generator = torch.Generator().manual_seed(seed)
    for part in list(module.modules()):
        if isinstance(part, Sized):
            part.bind(sizes, generator)


def check_limits(cycles: int, max_segments: int, exploration: float, lookahead: bool) -> None:
    """Refuse impossible numbers.

    Raises:
        IncompatibleComponents: With the setting to change.
    """
    if cycles < 1:
        raise IncompatibleComponents(
            f"a segment needs at least one cycle, not {cycles}: set model.cycles to 1 or more"
        )
    if max_segments < 1:
        raise IncompatibleComponents(
            f"a sample needs at least one segment, not {max_segments}: set model.max_segments to 1 or more"
        )
    if not 0 <= exploration <= 1:
        raise IncompatibleComponents(
            f"exploration is a probability, not {exploration}: set model.exploration between 0 and 1"
        )
    if lookahead and max_segments == 1:
        raise IncompatibleComponents(
            "a halting policy with look-ahead has nothing to look at when there is one segment: "
            "set model.max_segments to 2 or more, or model.halting to FixedHalting"
        )


def check_evaluation(**settings: int | None) -> None:
    """Refuse evaluation that would run nothing; None stands for the value of training.

    Raises:
        IncompatibleComponents: With the setting to change.
    """
    for name, value in settings.items():
        if value is not None and value < 1:
            raise IncompatibleComponents(
                f"{name} is {value}: set model.{name} to 1 or more, or to null for the value of training"
            )


def check_batch(batch: Batch, sizes: Sizes) -> None:
    """Insist that a batch has the sizes that the model was made for.

    Raises:
        IncompatibleComponents: The data's sequence, vocabulary or number of tasks is another.
    """
    tokens, highest = batch.inputs.shape[1], int(torch.maximum(batch.inputs, batch.labels).max())
    if tokens != sizes.tokens or highest >= sizes.vocab:
        raise IncompatibleComponents(
            f"the data has {tokens} tokens, the highest {highest}, the model has seq_len={sizes.tokens} "
            f"and vocab_size={sizes.vocab}: pass the data module's seq_len and vocab_size to the model"
        )
    task = int(batch.task.max())
    if sizes.prefix and task >= sizes.tasks > 1:
        raise IncompatibleComponents(
            f"the data has the task {task}, the model has num_tasks={sizes.tasks}: "
            "pass the data module's num_tasks to the model"
        )


def check_refiner(refiner: Refiner[Any], sizes: Sizes) -> None:
    """Run each level's update once on a state of zeros and hold it to the contract.

    Raises:
        IncompatibleComponents: The state has no `answer`, a level has no cell or no field, or an update
            changes shapes, dtypes or other levels.
    """
    name = type(refiner).__name__
    injection = next(_floats(refiner), torch.zeros(())).new_zeros(2, sizes.positions, sizes.width)
    with torch.no_grad():
        state = refiner.initial_state(injection)
        fields = _fields(state, name)
        if "answer" not in fields:
            raise IncompatibleComponents(
                f"the state of {name} has no field 'answer': rename the level that is read out"
            )
        for level in dict.fromkeys(refiner.schedule()):
            if level not in fields or level not in refiner.cells():
                raise IncompatibleComponents(
                    f"{name} schedules the level '{level}', which is not both a field of its state "
                    f"{tuple(fields)} and a key of its cells() {tuple(refiner.cells())}"
                )
            _check_update(refiner, state, injection, level)


def _floats(module: nn.Module) -> Any:
    """Yield the floating-point parameters and buffers of a module."""
    return (t for t in [*module.parameters(), *module.buffers()] if t.is_floating_point())


def _fields(state: Any, name: str) -> dict[str, Tensor]:
    """Return the fields of a refiner's state."""
    if not isinstance(state, tuple) or not hasattr(state, "_asdict"):
        raise IncompatibleComponents(
            f"the state of {name} is a {type(state).__name__}: make it a NamedTuple of tensors"
        )
    fields: dict[str, Tensor] = state._asdict()
    return fields


def _check_update(refiner: Refiner[Any], state: Any, injection: Tensor, level: str) -> None:
    """Apply one update and compare the state with the one before."""
    where = f"the update of level '{level}' in {type(refiner).__name__}"
    try:
        after = refiner.update(state, injection, level)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise IncompatibleComponents(
            f"{where} fails on a state of shape {tuple(injection.shape)} ({reason}): "
            "make the cell map (B, N, D) to the same shape, or set model.width to its width"
        ) from error
    for field, old, new in zip(state._fields, state, after, strict=True):
        if new.shape != old.shape or new.dtype != old.dtype:
            raise IncompatibleComponents(
                f"{where} turns {field} from {tuple(old.shape)} {old.dtype} "
                f"into {tuple(new.shape)} {new.dtype}: keep shape and dtype"
            )
        if field != level and new is not old:
            raise IncompatibleComponents(
                f"{where} also replaces {field}: write one level, state._replace({level}=...)"
            )


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
        tensor = next(_floats(refiner), torch.zeros(()))
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

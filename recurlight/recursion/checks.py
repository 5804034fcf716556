"""Everything that is checked before the first batch: a composition either trains or is refused here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from recurlight.codec.task_table import tables_of
from recurlight.errors import IncompatibleComponents
from recurlight.numerics import floats
from recurlight.refiners.base import Refiner
from recurlight.spec.given import within
from recurlight.types import Batch, Sized, Sizes, supervised

__all__ = [
    "at_least_one",
    "bind",
    "buffers_kept",
    "check_batch",
    "check_evaluation",
    "check_limits",
    "check_precision",
    "check_refiner",
    "check_sizes",
    "check_tasks",
]


def bind(module: nn.Module, sizes: Sizes, seed: int) -> None:
    """Tell every `Sized` submodule the sizes; weights are drawn on the CPU from `seed` alone.

    Args:
        module: Whole composition; its submodules are built in the order of `module.modules()`.
        sizes: Sizes that all of them share.
        seed: Seed of the generator.

    Raises:
        IncompatibleComponents: A size is out of range, or a part cannot be made of that size.
    """
    generator = torch.Generator().manual_seed(seed)
    for part in list(module.modules()):
        if isinstance(part, Sized):
            try:
                part.bind(sizes, generator)
            except (RuntimeError, MemoryError) as error:  # torch's word for want of memory is the first
                raise IncompatibleComponents(
                    f"{type(part).__name__} cannot be made for width {sizes.width} and {sizes.positions} "
                    f"positions ({str(error).splitlines()[0]}): change model.width or its own settings"
                ) from error


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Give buffers back as they were: a norm counts the batches that a part is tried on, too."""
    rows = {
        f"{name}.rows" for name in tables_of(module)
    }  # nothing but a step writes these, and they are large
    kept = {name: buffer.clone() for name, buffer in module.named_buffers() if name not in rows}
    try:
        yield
    finally:
        for name, buffer in module.named_buffers():
            if name in kept:
                buffer.data.copy_(kept[name])


def check_sizes(sizes: Sizes) -> None:
    """Refuse sizes that are no sizes.

    Raises:
        IncompatibleComponents: With the setting to change.
    """
    settings = {"vocab": "vocab_size", "tokens": "seq_len", "prefix": "prefix", "tasks": "num_tasks"}
    may_be_none = {"prefix", "features", "targets"} | (
        {"vocab"} if sizes.features and sizes.targets else set()
    )
    for name, size in sizes._asdict().items():
        if name == "grid":
            continue
        least, setting = int(name not in may_be_none), settings.get(name, name)
        whole = isinstance(size, Integral) and not isinstance(size, bool)
        if not whole or size < least:
            wanted = f"{'' if whole else 'a whole number, '}{least} or more"
            raise IncompatibleComponents(f"{setting} is {size!r}: set model.{setting} to {wanted}")
    _check_grid(sizes.grid, sizes.tokens)


def _check_grid(grid: Any, tokens: int) -> None:
    """Insist on rows and columns that hold the tokens, where they are given."""
    if grid is None:
        return
    sides = grid if isinstance(grid, tuple) and all(isinstance(side, Integral) for side in grid) else ()
    if len(sides) != 2 or min(sides) < 1 or sides[0] * sides[1] != tokens:
        raise IncompatibleComponents(
            f"grid_shape is {grid!r} for {tokens} tokens: set model.grid_shape to rows and columns whose "
            "product is seq_len, or to null"
        )


def check_limits(cycles: int, max_segments: int, exploration: float, lookahead: bool) -> None:
    """Refuse impossible numbers.

    Raises:
        IncompatibleComponents: With the setting to change.
    """
    within("Recursion", "cycles", cycles, 1)
    within("Recursion", "max_segments", max_segments, 1)
    within("Recursion", "exploration", exploration, 0, 1)
    if lookahead and max_segments == 1:
        raise IncompatibleComponents(
            "a halting policy with look-ahead has nothing to look at when there is one segment: "
            "set model.max_segments to 2 or more, or model.halting to FixedHalting"
        )


def at_least_one(name: str, value: int | None, default: int) -> int:
    """Return a number of cycles or segments, `default` for None.

    Raises:
        IncompatibleComponents: It would run nothing.
    """
    value = default if value is None else value
    within("Recursion", name, value, 1)
    return value


def check_evaluation(**settings: int | None) -> None:
    """Refuse evaluation that would run nothing; None stands for the value of training.

    Raises:
        IncompatibleComponents: With the setting to change.
    """
    for name, value in settings.items():
        if value is not None:
            within("RecursiveModule", name, value, 1)


def check_tasks(tasks: int, sizes: Sizes) -> None:
    """Refuse more tasks than there are vectors for, where there is a prefix to hold them.

    Raises:
        IncompatibleComponents: The model was made for fewer.
    """
    if sizes.prefix and tasks > sizes.tasks:
        raise IncompatibleComponents(
            f"the data has the task {tasks - 1}, the model has num_tasks={sizes.tasks}: pass the data "
            "module's num_tasks to the model, or set model.prefix to 0 for one that does not tell tasks apart"
        )


def check_batch(batch: Batch, sizes: Sizes, apart: bool = True) -> None:
    """Refuse a batch of other sizes than those that the model was made for.

    Args:
        batch: Any of the data.
        sizes: Sizes of the model.
        apart: Whether the numbers of tasks are the model's; otherwise they are for metrics alone.

    Raises:
        IncompatibleComponents: The data's sequence, vocabulary or number of tasks is another.
    """
    tokens, highest = batch.inputs.shape[1], max(map(_highest, (batch.inputs, batch.labels)))
    for name, field in (("inputs", batch.inputs), ("labels", batch.labels[supervised(batch.labels)])):
        if not field.isfinite().all():
            raise IncompatibleComponents(
                f"batch.{name} has a number that is not finite: give finite ones, in labels NaN where "
                "nothing is supervised"
            )
    if tokens != sizes.tokens or highest >= sizes.vocab:
        raise IncompatibleComponents(
            f"the data has {tokens} tokens, the highest {highest}, the model has seq_len={sizes.tokens} "
            f"and vocab_size={sizes.vocab}: pass the data module's seq_len and vocab_size to the model"
        )
    if apart:
        check_tasks(int(batch.task.max()) + 1, sizes)


def _highest(tokens: Tensor) -> int:
    """Return the highest token; below all others where there are numbers."""
    return -1 if tokens.is_floating_point() else int(tokens.max())


def check_precision(module: nn.Module) -> None:
    """Refuse weights below float32: the read-out and the losses need it, and small steps would be lost.

    Raises:
        IncompatibleComponents: With what to set instead.
    """
    weights = list(module.parameters())
    for weight in [weight for weight in weights if weight.requires_grad] or weights:
        if weight.is_floating_point() and weight.dtype not in (torch.float32, torch.float64):
            raise IncompatibleComponents(
                f"the weights are in {weight.dtype}, where small steps are rounded away: keep them in float32"
                " and set trainer.precision to bf16-mixed, or use torch.autocast without a trainer"
            )


def check_refiner(refiner: Refiner[Any], sizes: Sizes) -> None:
    """Run each level's update once on a state of zeros and hold it to the contract.

    Raises:
        IncompatibleComponents: The state has no `answer` like the injection, a field is no batch-first
            tensor, a level has no cell or no field, or an update changes shapes, dtypes or other levels, or
            makes something that is not finite.
    """
    name = type(refiner).__name__
    injection = next(floats(refiner), torch.zeros(())).new_zeros(2, sizes.positions, sizes.width)
    with torch.no_grad():
        state = refiner.initial_state(injection)
        fields = _fields(state, name)
        if "answer" not in fields:
            raise IncompatibleComponents(
                f"the state of {name} has no field 'answer': rename the level that is read out"
            )
        _check_fields(fields, injection, name)
        for level in dict.fromkeys(refiner.schedule()):
            if level not in fields or level not in refiner.cells():
                raise IncompatibleComponents(
                    f"{name} schedules the level '{level}', which is not both a field of its state "
                    f"{tuple(fields)} and a key of its cells() {tuple(refiner.cells())}"
                )
            _check_update(refiner, state, injection, level)


def _fields(state: Any, name: str) -> dict[str, Tensor]:
    """Return the fields of a refiner's state."""
    if not isinstance(state, tuple) or not hasattr(state, "_asdict"):
        raise IncompatibleComponents(
            f"the state of {name} is a {type(state).__name__}: make it a NamedTuple of tensors"
        )
    fields: dict[str, Tensor] = state._asdict()
    return fields


def _check_fields(fields: dict[str, Tensor], injection: Tensor, name: str) -> None:
    """Refuse fields that are no batch-first tensors, and an answer unlike the injection."""
    for field, leaf in fields.items():
        found = f"{tuple(leaf.shape)} {leaf.dtype}" if isinstance(leaf, Tensor) else type(leaf).__name__
        if not isinstance(leaf, Tensor) or leaf.shape[:1] != injection.shape[:1]:
            raise IncompatibleComponents(
                f"the field '{field}' of the state of {name} is {found} for {len(injection)} rows: "
                "make it a tensor whose first axis is the batch"
            )
        if field == "answer" and (leaf.shape != injection.shape or leaf.dtype != injection.dtype):
            raise IncompatibleComponents(
                f"the answer in the state of {name} is {found} where the injection is "
                f"{tuple(injection.shape)} {injection.dtype}: start it like the injection, (B, N, D)"
            )


def _check_update(refiner: Refiner[Any], state: Any, injection: Tensor, level: str) -> None:
    """Apply one update and compare the state with the one before."""
    where = f"the update of level '{level}' in {type(refiner).__name__}"
    try:
        after = refiner.update(state, injection, level)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise IncompatibleComponents(
            f"{where} fails on a state of shape {tuple(injection.shape)} ({reason}): "
            "make the cell, and every other layer of the refiner, map (B, N, D) to the same shape, "
            "or set model.width to their width"
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
        if not new.isfinite().all():
            raise IncompatibleComponents(
                f"{where} makes NaN or infinity of a question of zeros: mend its formula"
            )

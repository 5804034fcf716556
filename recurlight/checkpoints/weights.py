"""Whether a checkpoint's weights fit a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from recurlight.checkpoints.contents import made_with
from recurlight.codec.task_table import tables_of
from recurlight.errors import CheckpointMismatch
from recurlight.spec import Description
from recurlight.types import Sizes

__all__ = ["mismatches", "require_fitting", "require_same_optimizer", "require_same_weights"]

SHOWN = 3

_WEIGHTY = ("width", "prefix", "refiner", "encoder", "decoder", "halting")
"""Settings of a model that decide which weights it has."""


def require_same_weights(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """Refuse weights of other names or shapes.

    Args:
        ours: State dict of the model.
        theirs: State dict of the checkpoint.

    Raises:
        CheckpointMismatch: Listing keys that differ.

    Example:
        >>> import torch
        >>> require_same_weights({"a": torch.zeros(2)}, {"a": torch.zeros(3)})
        Traceback (most recent call last):
        recurlight.errors.CheckpointMismatch: ...: a is (3,) there and (2,) here; ...
    """
    differences = _differences(ours, theirs)
    if differences:
        raise CheckpointMismatch(_refusal(differences))


def mismatches(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, str]:
    """Tell what is wrong with each weight that two sets do not share by name and shape.

    Example:
        >>> mismatches({"a": Tensor(2), "b": Tensor(1)}, {"a": Tensor(3), "c": Tensor(1)})
        {'b': 'is missing there', 'c': 'is unknown here', 'a': 'is (3,) there and (2,) here'}
    """
    found = {key: "is missing there" for key in ours if key not in theirs}
    found |= {key: "is unknown here" for key in theirs if key not in ours}
    return found | {
        key: f"is {tuple(theirs[key].shape)} there and {tuple(ours[key].shape)} here"
        for key in ours
        if key in theirs and ours[key].shape != theirs[key].shape
    }


def _differences(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[str]:
    return [f"{key} {reason}" for key, reason in mismatches(ours, theirs).items()]


def _refusal(differences: list[str], settings: Iterable[str] = ()) -> str:
    more = f", and {len(differences) - SHOWN} more differences" if len(differences) > SHOWN else ""
    shown = ", ".join([*islice(settings, SHOWN), *differences[:SHOWN]])
    return (
        f"the checkpoint is of another architecture: {shown}{more}; "
        "give the config that it was trained with, or drop the flags that change the model"
    )


def require_fitting(model: nn.Module, checkpoint: Mapping[str, Any], sizes: Sizes) -> None:
    """Refuse a checkpoint whose weights cannot be loaded; where only the data's sizes differ, say so.

    Args:
        model: The model to load them into; its tables set to `resize` take any number of rows.
        checkpoint: The whole checkpoint.
        sizes: Sizes of the model.

    Raises:
        CheckpointMismatch: Naming the numbers of tasks or the sizes, or settings and keys that differ.
    """
    ours = model.state_dict()
    theirs = _resized(model, ours, checkpoint["state_dict"])
    differences = _differences(ours, theirs)
    if not differences:
        return
    reasons = _moved(ours, theirs, made_with(checkpoint), sizes)
    if reasons:
        raise CheckpointMismatch(f"the checkpoint cannot move to these data: {'; '.join(reasons)}")
    here = getattr(model, "description", Description({}, {})).arguments
    settings = other_settings(made_with(checkpoint), {name: here[name] for name in _WEIGHTY if name in here})
    raise CheckpointMismatch(_refusal(differences, settings))


def require_same_optimizer(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Insist that a checkpoint's states of optimizer and schedule are those of the model's own.

    An optimizer goes on with the settings that its state brings, so others are warned of.

    Args:
        model: The model, which tells how it was made.
        checkpoint: The whole checkpoint; one without such states, as of an import, fits any.

    Raises:
        CheckpointMismatch: Naming both classes.
    """
    there, here = made_with(checkpoint), getattr(model, "description", Description({}, {})).arguments
    if not checkpoint.get("optimizer_states"):
        return
    for name in (name for name in ("optimizer", "scheduler") if name in there and name in here):
        kinds = next(_other_kinds(there[name], here[name], f"model.{name}"), None)
        if kinds:
            where, theirs, ours = kinds
            raise CheckpointMismatch(
                f"the checkpoint was trained with {where} {theirs} and this run has {ours}, "
                f"which cannot take up its state: leave model.{name} as it was, or begin another run"
            )
        if name == "optimizer":
            for change in other_settings({name: there[name]}, {name: here[name]}):
                rank_zero_warn(f"{change}: a run that goes on keeps the checkpoint's")


def _other_kinds(there: Any, here: Any, key: str) -> Iterator[tuple[str, str, str]]:
    """Yield where two parts, or parts of them, are of different classes, and both classes."""
    kinds = [part.get("class_path") if isinstance(part, Mapping) else None for part in (there, here)]
    if kinds[0] != kinds[1]:
        yield key, _called(there), _called(here)
    elif kinds[0] is not None:
        theirs, ours = (part.get("init_args", {}) for part in (there, here))
        for name in (name for name in ours if name in theirs):
            yield from _other_kinds(theirs[name], ours[name], f"{key}.{name}")


def other_settings(there: Mapping[str, Any], here: Mapping[str, Any], key: str = "model") -> Iterator[str]:
    """Say which settings of a model differ, as far as both hold them.

    Example:
        >>> list(other_settings({"width": 8, "seed": 0}, {"width": 16, "seed": 0}))
        ['model.width is 8 there and 16 here']
        >>> cells = [{"cell": {"class_path": f"my.{name}", "init_args": {}}} for name in ("Old", "New")]
        >>> list(other_settings(*cells))
        ['model.cell is my.Old there and my.New here']
    """
    for name in (name for name in here if name in there):
        theirs, ours = there[name], here[name]
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            kinds = theirs.get("class_path"), ours.get("class_path")
            if kinds[0] != kinds[1]:
                yield f"{key}.{name} is {kinds[0]} there and {kinds[1]} here"
            else:
                parts = theirs.get("init_args", {}), ours.get("init_args", {})
                yield from other_settings(*parts, f"{key}.{name}")
        elif theirs != ours:
            yield f"{key}.{name} is {_called(theirs)} there and {_called(ours)} here"


def _called(setting: Any) -> str:
    """Name a setting: a part by its class."""
    if isinstance(setting, Mapping):
        return str(setting.get("class_path", "a section"))
    return "null" if setting is None else str(setting)


def _resized(
    model: nn.Module, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Return the checkpoint's weights as the tables of tasks take them."""
    taken = dict(theirs)
    for name, table in tables_of(model).items():
        key = f"{name}.rows"
        rows = taken.get(key, ours[key])
        if key in taken and table.fits(rows):
            taken[key] = ours[key]
        elif len(rows) != len(ours[key]) and rows.shape[1:] == ours[key].shape[1:]:
            raise CheckpointMismatch(
                f"the checkpoint has vectors for {len(rows)} tasks, the data have {len(table.rows)}: give "
                "the data's settings that it was trained with, or set resize of the encoder's task_table to "
                "true, to begin every task at their mean"
            )
    return taken


def _moved(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], there: Mapping[str, Any], here: Sizes
) -> list[str]:
    """Say what the data's sizes alone explain, nothing where something else differs."""
    vocab, tokens = there.get("vocab_size", here.vocab), there.get("seq_len", here.tokens)
    if ours.keys() != theirs.keys() or there.get("width", here.width) != here.width:
        return []
    reasons = []
    if vocab != here.vocab:
        reasons.append(
            f"its vocabulary has {vocab} tokens and theirs {here.vocab}: "
            "make both for the largest size, for Sudoku with data.digits"
        )
    fit = {vocab: here.vocab}
    bound = [
        key
        for key, weight in ours.items()
        if (shape := theirs[key].shape) != weight.shape
        and (*(fit.get(size, size) for size in shape[:1]), *shape[1:]) != tuple(weight.shape)
    ]
    if bound and tokens != here.tokens:
        reasons.append(
            f"{bound[0]} has weights for each of {tokens} tokens and they have {here.tokens}: "
            "train with TransformerCell and without learned positions to move between sizes"
        )
    return reasons

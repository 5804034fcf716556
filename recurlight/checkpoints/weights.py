"""Whether a checkpoint's weights fit a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from recurlight.checkpoints.contents import made_with
from recurlight.codec.task_table import tables_of
from recurlight.errors import CheckpointMismatch
from recurlight.spec import Description
from recurlight.types import Sizes

__all__ = ["mismatches", "require_fitting", "require_same_optimizer", "require_same_weights"]

SHOWN = 3

_WEIGHTY = (
    "vocab_size", "seq_len", "width", "prefix", "refiner", "encoder", "decoder", "halting", "backbone",
)  # fmt: skip
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
    if differences := mismatches(ours, theirs):
        raise CheckpointMismatch(_refusal(differences))


def mismatches(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, str]:
    """Say what is wrong with each weight that two sets do not share by name and shape.

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


def _refusal(differences: Mapping[str, str], settings: Iterable[_Other] = ()) -> str:
    more = f", and {len(differences) - SHOWN} more differences" if len(differences) > SHOWN else ""
    weights = (f"{key} {reason}" for key, reason in differences.items())
    shown = ", ".join([*islice(map(str, settings), SHOWN), *islice(weights, SHOWN)])
    return (
        f"the checkpoint is of another architecture: {shown}{more}; "
        "give the config that it was trained with, or drop the flags that change the model or its data"
    )


def require_fitting(model: nn.Module, checkpoint: Mapping[str, Any], sizes: Sizes) -> None:
    """Refuse a checkpoint whose weights cannot be loaded.

    Args:
        model: The model to load them into; its tables set to `resize` take any number of rows.
        checkpoint: The whole checkpoint.
        sizes: Sizes of the model.

    Raises:
        CheckpointMismatch: Naming the numbers of tasks, or settings and keys that differ.
    """
    ours = model.state_dict()
    if differences := mismatches(ours, _resized(model, ours, checkpoint["state_dict"])):
        here = {"vocab_size": sizes.vocab, "seq_len": sizes.tokens, "width": sizes.width} | _settings(model)
        raise CheckpointMismatch(_refusal(differences, _others(made_with(checkpoint), here, _WEIGHTY)))


def require_same_optimizer(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Refuse states of another optimizer or schedule than the model's own.

    An optimizer goes on with the settings that its state brings, so others are warned of.

    Args:
        model: The model, which tells how it was made.
        checkpoint: The whole checkpoint; one without such states, as of an import, fits any.

    Raises:
        CheckpointMismatch: Naming both classes, or both divisions into groups.
    """
    if not checkpoint.get("optimizer_states"):
        return
    there, here = made_with(checkpoint), _settings(model)
    theirs, ours = (made.get("optimizer_groups") for made in (there, here))
    if _division(theirs) != _division(ours):
        raise CheckpointMismatch(
            f"the checkpoint was trained with model.optimizer_groups {_called(theirs)} and this run has "
            f"{_called(ours)}: leave their parts as they were, or begin another run"
        )
    for other in _others(there, here, ("optimizer", "optimizer_groups", "scheduler")):
        if other.of_class:
            raise CheckpointMismatch(
                f"the checkpoint was trained with {other.key} {other.there} and this run has {other.here}, "
                f"which cannot take up its state: leave {other.key} as it was, or begin another run"
            )
        if other.key.startswith("model.optimizer"):
            rank_zero_warn(f"{other}: a run that goes on keeps the checkpoint's")


def _division(groups: Any) -> list[tuple[list[str], bool]]:
    """Return into which groups parameters are divided, without the settings that these have."""
    return [(list(group["parts"]), group.get("frozen", False)) for group in groups or ()]


class _Other(NamedTuple):
    """A setting that a checkpoint and a model hold both, and not the same."""

    key: str
    there: str
    here: str
    of_class: bool
    """Whether they are parts of different classes, and not of one class with different arguments."""

    def __str__(self) -> str:
        return f"{self.key} is {self.there} there and {self.here} here"


def _others(
    there: Mapping[str, Any], here: Mapping[str, Any], names: Iterable[str], key: str = "model"
) -> Iterator[_Other]:
    """Yield which of some settings differ, or which arguments of parts that are of the same class."""
    for name in (name for name in names if name in there and name in here):
        theirs, ours = there[name], here[name]
        if _kind(theirs) != _kind(ours):
            yield _Other(f"{key}.{name}", _called(theirs), _called(ours), True)
        elif isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            old, new = (part.get("init_args", {}) if _kind(part) else part for part in (theirs, ours))
            yield from _others(old, new, new, f"{key}.{name}")
        elif theirs != ours:
            yield _Other(f"{key}.{name}", _called(theirs), _called(ours), False)


def _kind(setting: Any) -> str | None:
    return setting.get("class_path") if isinstance(setting, Mapping) else None


def _called(setting: Any) -> str:
    """Name a setting: a part by its class."""
    return _kind(setting) or ("null" if setting is None else str(setting))


def _settings(model: nn.Module) -> dict[str, Any]:
    return getattr(model, "description", Description({}, {})).arguments


def _resized(
    model: nn.Module, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """Return the checkpoint's weights as the tables of tasks take them."""
    taken = dict(theirs)
    for name, table in tables_of(model).items():
        key = f"{name}.rows"
        if key in theirs and table.fits(theirs[key]):
            taken[key] = ours[key]
        elif key in theirs and theirs[key].shape[1:] == ours[key].shape[1:]:
            raise CheckpointMismatch(
                f"the checkpoint has vectors for {len(theirs[key])} tasks, the data have {len(table.rows)}: "
                "give the data's settings that it was trained with, or set resize of the encoder's task_table"
                " to true, so that every task begins at their mean"
            )
    return taken

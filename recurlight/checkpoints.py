"""Checkpoints: what they say of themselves, and whether one fits a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from torch import Tensor

from recurlight.errors import CheckpointMismatch, UntrustedCode
from recurlight.types import Sizes
from recurlight.version import installed_version

__all__ = [
    "DATA",
    "FORMAT",
    "MODEL",
    "STAMP",
    "data_made_with",
    "data_settings",
    "made_by",
    "made_with",
    "require_fitting",
    "require_readable",
    "require_same_weights",
    "stamp",
    "unrecorded",
]

FORMAT = 1
"""Number of the checkpoint's layout; raised when older code could not read it any more."""

STAMP = "recurlight"
"""Where a checkpoint says which versions wrote it."""

MODEL = "hyper_parameters"
"""Where Lightning keeps the model's settings."""

DATA = "datamodule_hyper_parameters"
"""Where Lightning keeps the data module's settings."""

SHOWN = 3

_MAKER = "lightning.pytorch.cli.instantiate_module"


def stamp() -> dict[str, Any]:
    """Return the number of the layout and the versions that write a checkpoint."""
    return {
        "format": FORMAT,
        "recurlight": installed_version(),
        "torch": str(torch.__version__),
        "lightning": str(lightning.__version__),
    }


def made_by(checkpoint: Mapping[str, Any]) -> str | None:
    """Return the class path of the model that a checkpoint is of; None where it does not tell."""
    return _section(checkpoint, STAMP).get("model")


def unrecorded(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    """Return the model's settings that a checkpoint does not hold, and why."""
    return _section(_section(checkpoint, STAMP), "unrecorded")


def made_with(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's settings as far as a checkpoint holds them.

    Example:
        >>> made_with({"hyper_parameters": {"width": 8, "_instantiator": "x"}})
        {'width': 8}
    """
    return {name: value for name, value in _section(checkpoint, MODEL).items() if not name.startswith("_")}


def data_settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint holds of a data section, as Lightning keeps it.

    Example:
        >>> data_made_with(data_settings({"class_path": "A", "init_args": {"size": 4}}))
        {'class_path': 'A', 'init_args': {'size': 4}}
    """
    return {DATA: {"_class_path": spec["class_path"], **spec.get("init_args", {})}}


def data_made_with(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the data section of a configuration, None where a checkpoint has none.

    Example:
        >>> data_made_with({"datamodule_hyper_parameters": {"_class_path": "A", "size": 4}})
        {'class_path': 'A', 'init_args': {'size': 4}}
    """
    found = _section(checkpoint, DATA)
    if "_class_path" not in found:
        return None
    settings = {name: value for name, value in found.items() if not name.startswith("_")}
    return {"class_path": found["_class_path"], "init_args": settings}


def _section(checkpoint: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = checkpoint.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise CheckpointMismatch(f"the checkpoint is damaged: its '{name}' is no section of settings")
    return found


def require_readable(checkpoint: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that this version cannot read, or that asks for code of its own to be run.

    Raises:
        CheckpointMismatch: It was written by a newer version, which the message names.
        UntrustedCode: It names a function that should make the model.

    Example:
        >>> require_readable({"recurlight": {"format": 99, "recurlight": "9.0.0"}})
        Traceback (most recent call last):
        recurlight.errors.CheckpointMismatch: the checkpoint was written by recurlight 9.0.0, ...
    """
    written = _section(checkpoint, STAMP)
    layout, newer = written.get("format", FORMAT), written.get("recurlight")
    if layout not in range(1, FORMAT + 1):
        raise CheckpointMismatch(
            f"the checkpoint was written by recurlight {newer}, in format {layout}; this is "
            f"recurlight {installed_version()}, which reads formats up to {FORMAT}: "
            f"pip install --upgrade 'recurlight>={newer}'"
        )
    for section in (MODEL, DATA):
        maker = _section(checkpoint, section).get("_instantiator", _MAKER)
        if maker != _MAKER:
            raise UntrustedCode(
                f"the checkpoint wants {maker!r} to make its {section}; nothing of it was run"
            )


def require_same_weights(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """Insist on the same names and shapes.

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
    differences = [f"{key} is missing there" for key in ours if key not in theirs]
    differences += [f"{key} is unknown here" for key in theirs if key not in ours]
    differences += [
        f"{key} is {tuple(theirs[key].shape)} there and {tuple(ours[key].shape)} here"
        for key in ours
        if key in theirs and ours[key].shape != theirs[key].shape
    ]
    if differences:
        more = f", and {len(differences) - SHOWN} more differences" if len(differences) > SHOWN else ""
        raise CheckpointMismatch(
            f"the checkpoint is of another architecture: {', '.join(differences[:SHOWN])}{more}; "
            "give the config that it was trained with, or drop the flags that change the model"
        )


def require_fitting(ours: Mapping[str, Tensor], checkpoint: Mapping[str, Any], sizes: Sizes) -> None:
    """Insist on the same names and shapes; where only the data's sizes differ, say so.

    Args:
        ours: State dict of the model.
        checkpoint: The whole checkpoint.
        sizes: Sizes of the model.

    Raises:
        CheckpointMismatch: Listing keys that differ, or the sizes.
    """
    theirs = checkpoint["state_dict"]
    try:
        require_same_weights(ours, theirs)
    except CheckpointMismatch as error:
        reasons = _moved(ours, theirs, checkpoint.get("hyper_parameters", {}), sizes)
        if not reasons:
            raise
        raise CheckpointMismatch(f"the checkpoint cannot move to these data: {'; '.join(reasons)}") from error


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

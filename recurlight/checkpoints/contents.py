"""What checkpoints say of themselves: versions, and how model and data were made."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

import torch

import recurlight
from recurlight.errors import CheckpointMismatch

__all__ = [
    "DATA",
    "FORMAT",
    "FROM_DATA",
    "MODEL",
    "STAMP",
    "backbone_in",
    "curricula_in",
    "data_made_with",
    "data_settings",
    "made_by",
    "made_with",
    "names_in",
    "require_readable",
    "stamp",
    "task_in",
    "unrecorded",
]

FROM_DATA = ("vocab_size", "seq_len", "num_tasks", "grid_shape", "features", "targets")
"""Arguments of the model that follow from the data."""

FORMAT = 1
"""Number of the checkpoint's layout; raised when older code could not read it any more."""

STAMP = "recurlight"
"""Where a checkpoint says which versions wrote it."""

MODEL = "hyper_parameters"
"""Where Lightning keeps the model's settings."""

DATA = "datamodule_hyper_parameters"
"""Where Lightning keeps the data module's settings."""

_BEFORE = {"recurlight.TableData": {"end_mark": False}}
"""What checkpoints mean that were written before a class had a setting whose default would change them."""


def stamp() -> dict[str, Any]:
    """Return the number of the layout and the versions that write a checkpoint."""
    return {
        "format": FORMAT,
        "recurlight": recurlight.__version__,
        "torch": str(torch.__version__),
        "lightning": metadata.version("lightning"),
    }


def made_by(checkpoint: Mapping[str, Any]) -> str | None:
    """Return the class path of the model that a checkpoint is of; None where it does not say."""
    return _section(checkpoint, STAMP).get("model")


def unrecorded(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    """Return the model's settings that a checkpoint does not hold, and why."""
    return _section(_section(checkpoint, STAMP), "unrecorded")


def names_in(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    """Return the hashes of what numbers stood for in training, see `PuzzleData.names`."""
    return {kind: str(digest) for kind, digest in _section(_section(checkpoint, STAMP), "names").items()}


def curricula_in(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of what changed the composition with the step in training, by class."""
    return _section(_section(checkpoint, STAMP), "curricula")


def backbone_in(checkpoint: Mapping[str, Any]) -> dict[str, str]:
    """Return the place and the hash of the frozen model of a checkpoint; empty if there is none."""
    return _section(_section(checkpoint, STAMP), "backbone")


def task_in(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how questions are written and which rules answers keep.

    Returns:
        Specifications of a `Wording`, under `wording`, and of `Rules`, under `rules`, as far as its data told
        them; None where nobody asked them, as in older checkpoints.
    """
    written = _section(checkpoint, STAMP)
    return _section(written, "task") if "task" in written else None


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
    before = _BEFORE.get(found["_class_path"], {})
    return {"class_path": found["_class_path"], "init_args": before | settings}


def _section(checkpoint: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = checkpoint.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise CheckpointMismatch(f"the checkpoint is damaged: its '{name}' is no section of settings")
    return found


def require_readable(checkpoint: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that this version cannot read.

    Raises:
        CheckpointMismatch: It was written by a newer version, which the message names.

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
            f"recurlight {recurlight.__version__}, which reads formats up to {FORMAT}: "
            f"pip install --upgrade 'recurlight>={newer}'"
        )

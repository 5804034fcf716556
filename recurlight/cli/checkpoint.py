"""What a checkpoint knows about the run that wrote it, read before any class is made."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from recurlight.errors import RecurlightError, suggestion

__all__ = ["DATA_KEY", "LINKS", "CheckpointError", "data_hyper_parameters", "read_checkpoint", "run_config"]

LINKS = ("vocab_size", "seq_len", "num_tasks")
"""Settings of the model that follow from the data."""

DATA_KEY = "datamodule_hyper_parameters"
"""Where Lightning keeps the data module's settings."""

KEYWORDS = ("best", "hpc")
"""Checkpoints that Lightning finds by itself."""


class CheckpointError(RecurlightError, ValueError):
    """A checkpoint file cannot be read."""


def read_checkpoint(path: str) -> dict[str, Any]:
    """Load a checkpoint without running any code from it; its weights stay on disk until they are used.

    Returns:
        Its content; empty for folders and for names that Lightning resolves itself (`best`, `hpc`).

    Raises:
        CheckpointError: There is no such file, or it holds something else.
    """
    file = Path(path)
    if file.is_dir() or path in KEYWORDS:
        return {}
    if not file.is_file():
        near = sorted(str(other) for other in file.parent.glob("*.ckpt")) if file.parent.is_dir() else []
        raise CheckpointError(f"--ckpt_path {path}: there is no such file{suggestion(path, near)}")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"--ckpt_path {path}: no checkpoint, or one that holds Python objects beside the weights; "
            "write it with 'recurlight fit', or load it in Python"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"--ckpt_path {path}: the file is damaged or no checkpoint") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise CheckpointError(f"--ckpt_path {path}: no Lightning checkpoint, it has no 'state_dict'")
    return content


def _public(parameters: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in parameters.items() if not key.startswith("_")}


def run_config(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the sections `model` and `data` with which a checkpoint was made, as far as it tells.

    Example:
        >>> run_config({"hyper_parameters": {"width": 8, "vocab_size": 6, "_instantiator": "x"}})
        {'model': {'width': 8}}
    """
    config: dict[str, Any] = {}
    model = _public(checkpoint.get("hyper_parameters", {}))
    if model:
        config["model"] = {key: value for key, value in model.items() if key not in LINKS}
    data = checkpoint.get(DATA_KEY, {})
    if "_class_path" in data:
        config["data"] = {"class_path": data["_class_path"], "init_args": _public(data)}
    return config


def data_hyper_parameters(spec: dict[str, Any]) -> dict[str, Any]:
    """Write a data section as Lightning keeps it, so that `SudokuData.load_from_checkpoint` works too.

    Example:
        >>> run_config({DATA_KEY: data_hyper_parameters({"class_path": "A", "init_args": {"size": 4}})})
        {'data': {'class_path': 'A', 'init_args': {'size': 4}}}
    """
    return {
        "_class_path": spec["class_path"],
        **spec.get("init_args", {}),
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
    }

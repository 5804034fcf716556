"""A published file: the state dict that `torch.save` wrote, and the `all_config.yaml` beside it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor

from recurlight.errors import suggestion
from recurlight.interop import plain_yaml
from recurlight.interop.errors import PublishedError
from recurlight.interop.unwrapping import unwrap

__all__ = ["PublishedFile", "read_published"]

CONFIG = "all_config.yaml"


class PublishedFile(NamedTuple):
    """What a published file says."""

    path: str
    weights: dict[str, Tensor]
    """State dict without what wrappers put before its keys, so that every key begins with `model.inner.`."""
    config: dict[str, Any]
    """Content of `all_config.yaml`; empty where there is none."""
    config_path: str
    left_out: list[str]
    """Entries of the file that are not imported, such as an optimizer's state."""


def read_published(path: str, config: str | None = None, weights: str | None = None) -> PublishedFile:
    """Read a published file without running any code from it.

    Args:
        path: File of the state dict, alone or inside dictionaries together with other things.
        config: Its `all_config.yaml`; None for the one beside the file, if there is one.
        weights: `plain` or `averaged`, for files that hold both; None where they hold one set.

    Raises:
        PublishedError: A file cannot be read or holds something else.
    """
    content = _load(Path(path))
    named, left_out = unwrap(content, path, weights)
    other = next((key for key, value in named.items() if not isinstance(value, Tensor)), None)
    if other is not None or not named:
        raise PublishedError(
            f"{path} is no state dict{f', its {other!r} is no tensor' if other else ''}: "
            "give the file that torch.save wrote for the model's state_dict()"
        )
    beside = Path(config) if config else Path(path).parent / CONFIG
    settings = _read_config(beside) if config or beside.is_file() else {}
    return PublishedFile(path, named, settings, str(beside), left_out)


def _load(path: Path) -> dict[str, Any]:
    """Load a file onto the CPU, weights only."""
    if path.is_dir():
        raise PublishedError(f"{path} is a folder: name the file of weights in it, such as {path}/step_65000")
    if not path.is_file():
        near = [str(other) for other in path.parent.glob("*")] if path.parent.is_dir() else []
        raise PublishedError(f"{path}: there is no such file{suggestion(str(path), near)}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise PublishedError(
            f"{path}: no weights, or Python objects beside them, which are not run: "
            "save the state dict alone, torch.save(model.state_dict(), FILE)"
        ) from error
    except Exception as error:  # what is no pickle at all makes the unpickler stumble in any way
        raise PublishedError(
            f"{path}: the file is damaged or was not written by torch.save: fetch it again"
        ) from error
    if not isinstance(content, Mapping):
        raise PublishedError(f"{path} holds a {type(content).__name__} and no state dict: give another file")
    return {str(key): value for key, value in content.items()}


def _read_config(path: Path) -> dict[str, Any]:
    """Read an `all_config.yaml`."""
    try:
        content = plain_yaml.load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PublishedError(f"{path} cannot be read ({error}): name another file with --config") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise PublishedError(f"{path} is not valid YAML ({reason}): name another with --config") from error
    if not isinstance(content, dict) or not isinstance(content.get("arch"), dict):
        raise PublishedError(
            f"{path} has no section 'arch': give the all_config.yaml of the training run, with --config"
        )
    return content

"""A published file: the state dict that `torch.save` wrote, and the `all_config.yaml` beside it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor

from recurlight.errors import RecurlightError, suggestion

__all__ = ["PublishedError", "PublishedFile", "read_published"]

WRAPPERS = ("model", "state_dict", "model_state_dict")
"""Where files that also keep an optimizer put the state dict."""

AVERAGES = ("ema_helper", "ema")
"""Where such files put the averages of the parameters."""

CONFIG = "all_config.yaml"


class PublishedError(RecurlightError, ValueError):
    """A published file cannot be imported; the message names the file, the reason and the fix."""


class PublishedFile(NamedTuple):
    """What a published file says."""

    path: str
    weights: dict[str, Tensor]
    """State dict without `_orig_mod.`, so that every key begins with `model.inner.`."""
    config: dict[str, Any]
    """Content of `all_config.yaml`; empty where there is none."""
    config_path: str
    left_out: list[str]
    """Entries of the file that are not imported, such as an optimizer's state."""


def read_published(path: str, config: str | None = None, weights: str | None = None) -> PublishedFile:
    """Read a published file without running any code from it.

    Args:
        path: File of the state dict, alone or wrapped together with an optimizer.
        config: Its `all_config.yaml`; None for the one beside the file, if there is one.
        weights: `plain` or `averaged`, for files that hold both; None where they hold one set.

    Raises:
        PublishedError: A file cannot be read or holds something else.
    """
    content = _load(Path(path))
    state, left_out = _unwrap(content, path, weights)
    named = {key.replace("_orig_mod.", ""): value for key, value in state.items()}
    if any(key.startswith("recursion.") for key in named):
        raise PublishedError(f"{path} is recurlight's own checkpoint: use it as it is, --ckpt_path {path}")
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


def _unwrap(content: dict[str, Any], path: str, weights: str | None) -> tuple[Mapping[str, Any], list[str]]:
    """Return the state dict, and the names of what stands beside it."""
    wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
    plain = content if wrapper is None else content[wrapper]
    average = next((key for key in AVERAGES if isinstance(content.get(key), Mapping)), None)
    if average is None and weights == "averaged":
        raise PublishedError(f"{path} holds no averages beside its weights: leave out --weights averaged")
    if average is not None and weights is None:
        raise PublishedError(
            f"{path} holds weights and their averages: add --weights averaged, which published evaluation "
            "runs, or --weights plain"
        )
    taken = [wrapper, average if weights == "averaged" else None]
    left_out = [] if wrapper is None else [key for key in content if key not in taken]
    if average is not None and weights == "averaged":
        return _averaged(plain, content[average], path), left_out
    return plain, left_out


def _averaged(plain: Mapping[str, Any], averages: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Lay the averages of the parameters over the state dict; buffers have none."""
    state = {key.replace("_orig_mod.", ""): value for key, value in plain.items()}
    over = {key.replace("_orig_mod.", ""): value for key, value in averages.items()}
    unknown = sorted(over.keys() - state.keys())
    if unknown:
        raise PublishedError(
            f"{path} has averages of '{unknown[0]}', which is no weight: use --weights plain"
        )
    return {**state, **over}


def _read_config(path: Path) -> dict[str, Any]:
    """Read an `all_config.yaml`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
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

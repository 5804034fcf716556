"""`--weights FILE`: a new run that begins with the weights of a checkpoint and takes nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from recurlight.cli.checkpoint import NOTHING, CheckpointError, read_checkpoint, require_usable, run_config
from recurlight.errors import CheckpointMismatch, UntrustedCode
from recurlight.training.warm_start import WarmStart, take_weights

__all__ = ["begin", "read_weights", "sections"]


def read_weights(path: Any, resumed: Any, subcommand: str) -> dict[str, Any]:
    """Read the checkpoint that `--weights` names; empty if there is none.

    Args:
        path: What `--weights` says.
        resumed: What `--ckpt_path` says.
        subcommand: Such as `fit`.

    Raises:
        CheckpointError: It is no checkpoint, or no new training begins.
    """
    if path in NOTHING:
        return {}
    if subcommand != "fit":
        raise CheckpointError(f"--weights {path} begins a training: {subcommand} with --ckpt_path {path}")
    if resumed not in NOTHING:
        raise CheckpointError(
            f"--weights {path} begins a new run and --ckpt_path {resumed} goes on with one: drop one of them"
        )
    checkpoint = read_checkpoint(str(path), "--weights")
    if not checkpoint:
        raise CheckpointError(f"--weights {path}: name one checkpoint file")
    return checkpoint


def sections(
    path: Any, checkpoint: dict[str, Any], named: set[str], given: Callable[[str], bool]
) -> dict[str, Any]:
    """Return the sections of a checkpoint that no configuration has: without a recipe the model is its own.

    Args:
        path: What `--weights` says.
        checkpoint: Its content.
        named: Sections of the configurations.
        given: Whether the user sets a key.

    Raises:
        CheckpointError: Its model cannot be made anew.
    """
    if checkpoint and "model" not in named:
        require_usable(f"--weights {path}", checkpoint, "fit", given)
    return {name: section for name, section in run_config(checkpoint).items() if name not in named}


def begin(model: nn.Module, checkpoint: Mapping[str, Any], path: Any) -> WarmStart:
    """Give a model the weights.

    Raises:
        CheckpointError: They cannot be read.
        CheckpointMismatch: None of them fits.
    """
    try:
        return take_weights(model, checkpoint)
    except (CheckpointError, CheckpointMismatch, UntrustedCode) as error:
        raise type(error)(f"--weights {path}: {error}") from error

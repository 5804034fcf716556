"""`--weights FILE`: a new run that begins with the weights of a checkpoint and takes nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from recurlight.cli.checkpoint import NOTHING, read_checkpoint
from recurlight.errors import CheckpointError, CheckpointMismatch, UntrustedCode
from recurlight.training.warm_start import WarmStart, take_weights

__all__ = ["begin", "read_weights"]


def read_weights(
    path: Any, resumed: Any, subcommand: str, user: dict[str, Any], whole: bool
) -> dict[str, Any]:
    """Read the checkpoint that `--weights` names; empty if there is none.

    Args:
        path: What `--weights` says.
        resumed: What `--ckpt_path` says.
        subcommand: Such as `fit`.
        user: What files and flags set.
        whole: Whether its model is made anew too, because no configuration names another.

    Raises:
        CheckpointError: It is no checkpoint, its model cannot be made, or no new training begins.
    """
    if path in NOTHING:
        return {}
    if subcommand != "fit":
        raise CheckpointError(f"--weights {path} begins a training: {subcommand} with --ckpt_path {path}")
    if resumed not in NOTHING:
        raise CheckpointError(
            f"--weights {path} begins a new run and --ckpt_path {resumed} goes on with one: drop one of them"
        )
    return read_checkpoint(str(path), subcommand, user, "--weights", whole)


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

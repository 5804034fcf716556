"""Which data a trainer works on."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn

from recurlight.data.base import PuzzleData
from recurlight.recursion.causality import require_causal
from recurlight.recursion.checks import check_tasks
from recurlight.recursion.driver import Recursion

__all__ = ["attached_data", "attached_module", "fitting_data"]

_LOOPS = {
    TrainerFn.FITTING: "fit_loop",
    TrainerFn.VALIDATING: "validate_loop",
    TrainerFn.TESTING: "test_loop",
    TrainerFn.PREDICTING: "predict_loop",
}


def attached_module(trainer: Any) -> LightningDataModule | None:
    """Return the data module of what a trainer is doing; None where it does nothing or was given loaders.

    `trainer.datamodule` may be left from an earlier call, so the loop is asked for its own source.
    """
    if trainer.state.fn is None:
        return None
    source = getattr(trainer, _LOOPS[trainer.state.fn])._data_source.instance
    return source if isinstance(source, LightningDataModule) else None


def attached_data(trainer: Any) -> PuzzleData | None:
    """Return the puzzles that a trainer works on; None likewise, and for a data module of another kind."""
    module = attached_module(trainer)
    return module if isinstance(module, PuzzleData) else None


def fitting_data(trainer: Any, recursion: Recursion) -> PuzzleData | None:
    """Return `attached_data`, once the model is seen to be made for them.

    Raises:
        IncompatibleComponents: The data have more tasks than the model has vectors for, or ask for the next
            token and the model sees it.
    """
    data = attached_data(trainer)
    if data is not None and data.tasks_apart:
        check_tasks(data.num_tasks, recursion.sizes)
    if data is not None and data.next_token:
        recursion.require(require_causal)
    return data

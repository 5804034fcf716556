"""Which data a trainer works on."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn

from recurlight.data.base import PuzzleData

__all__ = ["attached_data", "attached_module"]

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

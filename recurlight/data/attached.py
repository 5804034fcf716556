"""Which data a trainer works on."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.trainer.states import TrainerFn

from recurlight.data.base import PuzzleData

__all__ = ["attached_data"]

_LOOPS = {
    TrainerFn.FITTING: "fit_loop",
    TrainerFn.VALIDATING: "validate_loop",
    TrainerFn.TESTING: "test_loop",
    TrainerFn.PREDICTING: "predict_loop",
}


def attached_data(trainer: Any, doing: TrainerFn | None = None) -> PuzzleData | None:
    """Return the data module of what a trainer is doing; None where it does nothing or was given loaders.

    `trainer.datamodule` may be left from an earlier call, so each loop is asked for its own source.

    Args:
        trainer: Given a model and data.
        doing: Of what else it did.
    """
    doing = doing or trainer.state.fn
    if doing is None:
        return None
    source = getattr(trainer, _LOOPS[doing])._data_source.instance
    return source if isinstance(source, PuzzleData) else None

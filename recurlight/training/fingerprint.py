"""What a figure was measured on: the lines under every table."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging

import recurlight
from recurlight.checkpoints.backbones import identity_of
from recurlight.data.base import PuzzleData
from recurlight.data.puzzles import Puzzles, are_numbers
from recurlight.errors import Unrecordable
from recurlight.metrics.evaluation import Measured
from recurlight.recursion import Recursion
from recurlight.spec import arguments, describe
from recurlight.supervision import Supervision
from recurlight.training.attached import attached_data

__all__ = ["Fingerprint", "Weights", "data_digest", "fingerprint", "weights_of"]

_ROWS = 1 << 16
"""Rows that are hashed at once."""


def data_digest(puzzles: Puzzles) -> str:
    """Hash puzzles to 64 hexadecimal digits: tokens or numbers in their order, whatever integers hold them.

    Example:
        >>> import numpy as np
        >>> small, large = (np.arange(6, dtype=kind).reshape(2, 3) for kind in (np.uint8, np.int64))
        >>> data_digest(Puzzles(small, small, small[:, 0])) == data_digest(Puzzles(large, large, large[:, 0]))
        True
    """
    digest = hashlib.sha256()
    for field in puzzles:
        kind = "<f4" if are_numbers(field) else "<i4"
        digest.update(repr(field.shape).encode())
        for first in range(0, len(field), _ROWS):
            digest.update(field[first : first + _ROWS].astype(kind).tobytes())
    return digest.hexdigest()


class Weights(NamedTuple):
    """Which weights a model has."""

    kind: str = "given"
    """`averaged`, `raw`, or `given` where nothing tells where they come from."""
    step: int | None = None
    """Optimizer steps behind them."""


def weights_of(checkpoint: Mapping[str, Any]) -> Weights:
    """Tell which weights a Lightning checkpoint has in its `state_dict`.

    Example:
        >>> weights_of({"global_step": 7, "averaging_state": {}})
        Weights(kind='averaged', step=7)
    """
    return Weights("averaged" if "averaging_state" in checkpoint else "raw", checkpoint.get("global_step"))


@dataclass(frozen=True)
class Fingerprint:
    """What figures were measured on, with and how: two that are equal belong to the same measurement.

    Args:
        split: `val` or `test`.
        data: Hash of the split's puzzles, see `data_digest`; None for data that is no `PuzzleData`.
        size: Puzzles in the split, in as many variants as evaluation asks; None likewise.
        puzzles: Puzzles that were counted.
        seeds: Seed of the model, of the evaluation where it is another, and of the data.
        segments: Mean number of segments that a puzzle was given.
        cycles: Cycles in a segment.
        schedule: Updates in a cycle.
        updates: Applications of a cell to a puzzle in the mean: `segments * cycles * schedule`.
        adaptive: Whether puzzles stopped when the halting policy said so.
        weights: `averaged`, `raw`, or `given`.
        step: Optimizer steps behind the weights, where known.
        checkpoint: File that holds the weights, where known.
        precision: Precision of the trainer.
        recurlight: Version of this package.
        torch: Version of torch.
        supervision: How the model is trained, with its settings; see `Supervision`.
        model: Class path of the model.
        curricula: What changes the composition with the step of training, by class, with its settings.
        search: How answers were searched for, with its settings; empty for one run of the model.
        backbone: Hashes of the frozen model that it stands on, by name, see `Backbone.identity`; empty where
            there is none.
        counted_in: What the samples are called, see `PuzzleData.counted_in`.
    """

    split: str
    data: str | None
    size: int | None
    puzzles: int
    seeds: dict[str, int]
    segments: float
    cycles: int
    schedule: int
    updates: float
    adaptive: bool
    weights: str
    step: int | None
    checkpoint: str | None
    precision: str
    recurlight: str
    torch: str
    supervision: str = "OneSegment(decay=1.0)"
    model: str = "recurlight.RecursiveModule"
    curricula: dict[str, Any] = dataclasses.field(default_factory=dict)
    search: str = ""
    backbone: dict[str, str] = dataclasses.field(default_factory=dict)
    counted_in: str = "puzzles"

    def __str__(self) -> str:
        part = "" if self.size in (None, self.puzzles) else f" of {self.size:,}"
        data = f"data {self.data[:8]}" if self.data else "data unknown"
        work = f"{self.segments:.4g} segments x {self.cycles} cycles x {self.schedule} updates"
        step = "" if self.step is None else f", step {self.step:,}"
        file = f", {Path(self.checkpoint).name}" if self.checkpoint else ""
        file += f", backbone {'/'.join(h[:8] for h in self.backbone.values() if h)}" if self.backbone else ""
        seeds = ", ".join(f"{name} {seed}" for name, seed in self.seeds.items())
        count = f"{self.puzzles:,}{part} {self.counted_in}"
        first = f"{self.split}: {count}, {data}; {work} = {self.updates:.4g} each"
        rule = ", ".join([self.supervision.partition("(")[0], *self.curricula])
        if self.model != "recurlight.RecursiveModule":
            rule += f", {self.model.rpartition('.')[2]}"
        made = f"{self.precision}, recurlight {self.recurlight}, torch {self.torch}; {rule}"
        made += f"\n{self.search}" if self.search else ""
        return f"{first}\n{self.weights} weights{step}{file}; seeds: {seeds}; {made}"


def fingerprint(
    trainer: Any,
    recursion: Recursion,
    measured: Measured,
    loaded: Weights,
    *,
    model: str,
    supervision: Supervision,
    curricula: Mapping[str, Any],
    trained: bool,
    cycles: int,
    adaptive: bool,
    eval_seed: int,
    search: str = "",
) -> Fingerprint:
    """Describe an evaluation.

    Args:
        trainer: Trainer that evaluated.
        recursion: Model that was evaluated.
        measured: What it measured.
        loaded: Which weights the checkpoint held that the trainer loaded, if it did.
        model: Class path of the model.
        supervision: How the model is trained.
        curricula: What changes with the step of training, by class, with its settings.
        trained: Whether the weights are those with which this trainer's last training ended.
        cycles: Cycles in a segment of the evaluation.
        adaptive: Whether puzzles stopped when the halting policy said so.
        eval_seed: Seed of what the parts drew.
        search: How answers were searched for; empty for one run of the model.
    """
    data = attached_data(trainer)
    puzzles = getattr(data.splits, measured.split) if data else None
    schedule = len(recursion.refiner.schedule())
    weights, checkpoint = _weights(trainer, loaded, trained)
    return Fingerprint(
        split=measured.split,
        data=data_digest(puzzles) if puzzles else None,
        size=_asked(data, measured.split),
        puzzles=measured.puzzles,
        seeds=_seeds(recursion.seed, eval_seed, data),
        segments=measured.figures["segments"],
        cycles=cycles,
        schedule=schedule,
        updates=measured.figures["segments"] * cycles * schedule,
        adaptive=adaptive,
        weights=weights.kind,
        step=weights.step,
        checkpoint=checkpoint,
        precision=str(trainer.precision),
        recurlight=recurlight.__version__,
        torch=torch.__version__,
        supervision=_spelled(supervision),
        model=model,
        curricula=dict(curricula),
        search=search,
        backbone={name: told for name, told in identity_of(recursion.backbone).items() if name != "path"},
        counted_in=data.counted_in if data else "puzzles",
    )


def _spelled(supervision: Supervision) -> str:
    """Write a supervision with its settings, as far as they can be written; one within it likewise."""
    kind = type(supervision).__name__
    try:
        given, settings = arguments(supervision), describe(supervision).arguments
    except Unrecordable:
        return f"{kind}(...)"
    inner = {name: value for name, value in given.items() if isinstance(value, Supervision)}
    told = (
        f"{name}={_spelled(inner[name]) if name in inner else repr(value)}"
        for name, value in settings.items()
    )
    return f"{kind}({', '.join(told)})"


def _seeds(model: int, evaluation: int, data: PuzzleData | None) -> dict[str, int]:
    """Return every seed on which figures depend, by name."""
    other = {} if evaluation == model else {"eval": evaluation}
    return {"model": model} | other | ({"data": data.seed} if data else {})


def _asked(data: PuzzleData | None, split: str) -> int | None:
    """Count what evaluation asks of a split."""
    if data is None:
        return None
    variants = data.variants(split)
    return len(getattr(data.splits, split).inputs) * (variants.per_puzzle if variants else 1)


def _weights(trainer: Any, loaded: Weights, trained: bool) -> tuple[Weights, str | None]:
    """Say which weights were evaluated, and the file that holds them."""
    if trainer.ckpt_path and trainer.state.fn != "fit":
        return loaded, str(trainer.ckpt_path)
    if trainer.global_step and (trainer.state.fn == "fit" or trained):
        averaged = any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks)
        return Weights("averaged" if averaged else "raw", trainer.global_step), _saved(trainer)
    return Weights(), None


def _saved(trainer: Trainer) -> str | None:
    """Return the checkpoint that the run wrote at its last step, if it did."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback._last_global_step_saved == trainer.global_step:
            newest = "" if callback.monitor else callback.best_model_path
            return callback.last_model_path or newest or None
    return None

"""What a training run keeps besides weights and optimizer, and its exact resumption.

A checkpoint tells the state behind its weights: that after the last optimizer step. What happened since, the
first micro-batches of an accumulated step or a batch that was interrupted, is left out of it and done again.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils._pytree import tree_map
from typing_extensions import override

from recurlight.checkpoints.carry import moved, pack, unpack
from recurlight.checkpoints.contents import made_with
from recurlight.checkpoints.rewind import mid_batch, rewind
from recurlight.checkpoints.weights import require_same_optimizer
from recurlight.errors import CheckpointMismatch
from recurlight.ranks import gather, world_size
from recurlight.seeding import seed_batch
from recurlight.training.progress import Progress
from recurlight.types import Carry

__all__ = ["RUN_KEY", "Run"]

RUN_KEY = "run"
"""Where a checkpoint holds it."""

_CPU = torch.device("cpu")


class Run(Callback):
    """The carry of each micro-batch and the running figures; `RecursiveModule` brings it to its trainer.

    Between two optimizer steps it also keeps what was true at the first of them, so that a checkpoint can be
    written at any moment. At each training batch it seeds the global generators; see `seed_batch`.

    Args:
        seed: Seed of the global generators.
        save_carry: Write the carry into checkpoints.
    """

    def __init__(self, seed: int = 0, save_carry: bool = True) -> None:
        self.seed, self.save_carry = seed, save_carry
        self.carries: dict[int, Carry] = {}
        self.progress = Progress()
        self._begun = 0  # training batches of the run, counting micro-batches
        self._step: int | None = None  # optimizer steps taken when the latest of them began
        self._settled = 0  # batches begun before that step's first
        self._before: dict[int, Carry] = {}  # carries that were replaced since
        self._figures: dict[str, Any] = {}  # of then
        self._stepping = False  # the optimizer has begun to change the weights
        self._averaged = False  # an averaging callback has lent its weights for validation
        self._ended = False
        self._trainer = 0  # the `id` of the one that trained last; itself, it would be copied with the model
        self._loaded: dict[str, Any] = {}

    def open(self, micro: int, fresh: Carry, trainer: Trainer) -> None:
        """Give a micro-batch its first carry: the loaded one, or else a fresh one.

        Raises:
            CheckpointMismatch: The loaded one was for another model, batch size or accumulation.
        """
        then = self._loaded.pop("accumulate", trainer.accumulate_grad_batches)
        if not _schedulers(trainer) and then != trainer.accumulate_grad_batches:
            raise CheckpointMismatch(
                f"the checkpoint was written with accumulate_grad_batches {then} and this run has "
                f"{trainer.accumulate_grad_batches}: set trainer.accumulate_grad_batches to {then}"
            )
        packed = self._loaded.get("carry", {}).pop(micro, None)
        if packed and moved(packed, fresh):
            rank_zero_warn("the checkpoint is of data of another length: every slot begins anew")
            packed = None
        share = (trainer.global_rank, trainer.world_size)
        self.carries[micro] = unpack(packed, fresh, *share) if packed else fresh

    def ended_in(self, trainer: Trainer) -> bool:
        """Tell whether the weights are those with which this trainer ended, as far as training goes."""
        return self._ended and self._trainer == id(trainer)

    def keep(self, micro: int, carry: Carry) -> None:
        """Replace the carry of a micro-batch."""
        self._before.setdefault(micro, self.carries[micro])
        self.carries[micro] = carry

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget what an earlier run loaded or averaged; this one's checkpoint is read after it.

        An average that an earlier `fit` has left would take the place of the weights in validation, though
        they may have been trained further since, or be those of another model.
        """
        self._loaded, self._averaged = {}, False
        if trainer.state.fn != TrainerFn.FITTING:
            for callback in _averages(trainer):
                callback._average_model = None

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count anew, or with what was loaded; the module empties the slots."""
        for scheduler in _schedulers(trainer):  # Lightning tells them of an epoch only where it begins
            scheduler.on_train_epoch_start(trainer)
        figures = self._loaded.get("progress", Progress().state_dict())
        self.progress.load_state_dict(_to(pl_module.device, figures))
        self._begun = trainer.fit_loop.total_batch_idx + 1
        self._step, self._ended, self._trainer = None, False, id(trainer)

    @override
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step != self._step:
            self._step, self._settled = trainer.global_step, self._begun
            self._before, self._figures = {}, self.progress.state_dict()
        seed_batch(self.seed, self._begun, trainer.global_rank, pl_module.device)
        self._begun += 1
        self._stepping = False

    @override
    def on_before_optimizer_step(self, *_: Any) -> None:
        self._stepping = True

    @override
    def on_validation_epoch_start(self, *_: Any) -> None:
        self._averaged = True

    @override
    def on_validation_epoch_end(self, *_: Any) -> None:
        self._averaged = False

    @override
    def on_train_end(self, *_: Any) -> None:
        self._ended = True

    @override
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what the run keeps, and make Lightning's counters agree with it."""
        if self.ended_in(trainer) and _averages(trainer):
            checkpoint.setdefault("averaging_state", {})  # of what is averaged, though nobody averages on
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if self._averaged and "current_model_state" in checkpoint:  # interrupted while they were exchanged
            weights = checkpoint["state_dict"], checkpoint["current_model_state"]
            checkpoint["current_model_state"], checkpoint["state_dict"] = weights
        loop, whole = checkpoint["loops"]["fit_loop"], trainer.global_step != self._step
        flaw = self._flaw(loop, averaging="current_model_state" in checkpoint)
        # an exception, or a signal amid a batch, may have reached one rank alone, which would wait forever
        together = world_size() == 1 or not (trainer.interrupted or mid_batch(loop))
        checkpoint[RUN_KEY] = {
            "accumulate": trainer.accumulate_grad_batches,
            "progress": _to(_CPU, self.progress.state_dict() if whole else self._figures),
            "carry": self._packed(whole) if self.save_carry and together else {},
            "inexact": flaw,
        }
        batches = self._begun if whole else self._settled
        if batches:
            rewind(loop, batches, trainer.global_step, trainer.num_training_batches)
        else:
            del checkpoint["loops"]  # nothing was trained: there is no place to go back to

    def _flaw(self, loop: dict[str, Any], averaging: bool) -> str:
        """Say why a checkpoint written now cannot hold the weights behind a step, if so."""
        begun = loop["epoch_loop.batch_progress"]["total"]["ready"] == self._begun
        if self._stepping and begun and mid_batch(loop):
            return "was written in the middle of an optimizer step"
        if self._ended and averaging:
            return "was written after training, when averaged weights had taken the place of the others"
        return ""

    def _packed(self, whole: bool) -> dict[int, Any]:
        """Put the carries of all ranks on the CPU, and those that were loaded and not opened yet."""
        carries = self.carries if whole else self.carries | self._before
        packed = {micro: pack(carries[micro], _global) for micro in sorted(carries)}
        unopened: dict[int, Any] = self._loaded.get("carry", {})
        return unopened | packed

    @override
    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep what a checkpoint says until training starts."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        require_same_optimizer(pl_module, checkpoint)
        self._loaded = checkpoint.get(RUN_KEY, {})
        flaw: str = self._loaded.get("inexact", "")
        if not flaw and self.save_carry and not self._loaded.get("carry") and checkpoint["global_step"]:
            flaw = "holds no carry, so that every slot begins with a fresh sample"
        seed = made_with(checkpoint).get("seed", self.seed)
        if not flaw and seed != self.seed:
            flaw = f"is of a run with model.seed {seed} and this one has {self.seed}"
        if flaw:
            rank_zero_warn(f"the checkpoint {flaw}: training goes on, but not as without the interruption")


def _averages(trainer: Trainer) -> list[WeightAveraging]:
    """Return the callbacks that average weights."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, WeightAveraging)]


def _schedulers(trainer: Trainer) -> list[GradientAccumulationScheduler]:
    """Return the callbacks that set the accumulation of each epoch."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, GradientAccumulationScheduler)]


def _global(rows: Tensor) -> Tensor:
    return gather(rows).to("cpu", copy=True)


def _to(device: torch.device, state: dict[str, Any]) -> dict[str, Any]:
    moved: dict[str, Any] = tree_map(lambda leaf: leaf.to(device), state)
    return moved

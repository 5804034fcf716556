"""The LightningModule: one training step is what the supervision makes of it, one loss, one backward."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from lightning.pytorch import Callback
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer

from recurlight.checkpoints.backbones import identity_of, require_same_backbone
from recurlight.checkpoints.contents import FROM_DATA, STAMP, curricula_in, names_in
from recurlight.checkpoints.weights import require_fitting
from recurlight.codec import add_tables, forget_gradients
from recurlight.codec.backbone import Backbone
from recurlight.codec.base import Decoder, Encoder
from recurlight.data.base import PuzzleData
from recurlight.draw.seeding import generators_kept, seed_of
from recurlight.halting.base import Halting
from recurlight.losses import MeanSquaredError, SequenceLoss, StablemaxCrossEntropy
from recurlight.metrics.evaluation import Evaluation
from recurlight.optim import AdamATan2, make_optimizer, make_schedule
from recurlight.optim.groups import frozen_parts
from recurlight.recursion.checks import check_batch, check_evaluation
from recurlight.recursion.driver import Recursion
from recurlight.recursion.outputs import check_loss
from recurlight.refiners.base import Refiner
from recurlight.slots import require_batch
from recurlight.spec.given import within
from recurlight.stopping import Stopping
from recurlight.supervision import OneSegment, Supervision, Turn
from recurlight.training.attached import fitting_data
from recurlight.training.evaluating import Evaluating
from recurlight.training.fingerprint import weights_of
from recurlight.training.run import Run
from recurlight.training.start import (
    check_monitors,
    check_trainer,
    may_log_others,
    require_companions,
    validates,
    when_stepped,
)
from recurlight.training.stated import changed_since, solver_figures, stated_callbacks
from recurlight.truncation.base import GradientTruncation
from recurlight.types import Batch, Carry, Learnt, Sizes

__all__ = ["RecursiveModule"]


class RecursiveModule(Evaluating):
    """Trains and evaluates a recursive reasoner.

    A training step runs what the `supervision` says, by default one segment on every slot, and takes one
    optimizer step on the mean over slots of `cross-entropy per supervised token + halting_weight * halting
    loss`; the carry is detached and kept, and only slots that halted take a new sample. Gradient accumulation
    keeps one carry for each micro-batch, so that it equals a larger batch. Validation and test run every
    sample for all segments, as published; predictions stop when their answer is settled.

    Args:
        vocab_size: Vocabulary `V`, 0 where there are no tokens; like every size from the data.
        seq_len: Tokens `L` of a sample.
        refiner: How the state is refined.
        truncation: Which updates carry gradient.
        halting: When to stop.
        num_tasks: Tasks in the data.
        encoder: Question to injection; null for `TokenEncoder`, of numbers `ContinuousEncoder`.
        decoder: Answer to logits; null for `TokenDecoder`, of numbers `ContinuousDecoder`.
        loss: Loss of a sample; null for `StablemaxCrossEntropy`, of numbers `MeanSquaredError`.
        supervision: What one step does with segments; null for `OneSegment`.
        width: Width `D`.
        prefix: Task-prefix positions `P`.
        cycles: Cycles in a segment.
        max_segments: Cap on the segments spent on one sample in training.
        exploration: Probability that a slot must go on for a drawn number of segments.
        halting_weight: Weight of the halting loss.
        eval_cycles: Cycles in evaluation; null for `cycles`.
        eval_segments: Segments in evaluation; null for `max_segments`.
        eval_adaptive: Whether samples stop when they are done: true in every evaluation, false in none; null
            where questions are answered (`predict` and a call) and not where figures are measured.
        eval_halting: When they are done, any `Stopping`; null for `usual_stopping(halting)`.
        optimizer: Makes the optimizer from the parameters.
        optimizer_groups: Parts with settings of their own, or `frozen`; see `recurlight.optim.groups`.
        scheduler: Makes the learning-rate schedule, stepped every step; null for constant.
        seed: Seed of weights, exploration and what parts draw; null for that of `seed_everything`, or 0.
        eval_seed: Seed of what parts draw in evaluation; null for `seed`.
        save_carry: Keep the carry, `B N D` numbers a level, so that training resumes exactly; else it begins
            with fresh samples.
        grid_shape: Rows and columns, from the data on the command line; null for those of a square.
        features: Numbers at a position of a question, 0 for tokens; from the data on the command line.
        targets: The same of an answer.
        backbone: Frozen model for parts such as `HiddenEncoder`, see `Backbone`; null for none.

    Raises:
        IncompatibleComponents: The parts cannot be composed; the message names the setting to change.

    Example:
        >>> import torch
        >>> from recurlight import FixedHalting, EveryUpdate, MixerCell, SingleRefiner
        >>> refiner = SingleRefiner(MixerCell())
        >>> model = RecursiveModule(6, 16, refiner, EveryUpdate(), FixedHalting(), width=32, cycles=4)
        >>> zeros = torch.zeros(2, 16, dtype=torch.int64)
        >>> model(Batch(zeros, zeros, zeros[:, 0])).logits.shape
        torch.Size([2, 16, 6])

    Reference:
        TRM (arXiv:2510.04871), section 4, and HRM (arXiv:2506.21734), section 2, as their code trains.
    """

    def __init__(
        self,
        vocab_size: int,
        seq_len: int,
        refiner: Refiner,  # type: ignore[type-arg]  # the command line resolves plain classes only
        truncation: GradientTruncation,
        halting: Halting,
        num_tasks: int = 1,
        encoder: Encoder | None = None,
        decoder: Decoder | None = None,
        loss: SequenceLoss | None = None,
        supervision: Supervision | None = None,
        width: int = 512,
        prefix: int = 0,
        cycles: int = 3,
        max_segments: int = 16,
        exploration: float = 0.1,
        halting_weight: float = 0.5,
        eval_cycles: int | None = None,
        eval_segments: int | None = None,
        eval_adaptive: bool | None = None,
        optimizer: OptimizerCallable = AdamATan2,
        optimizer_groups: list[dict[str, Any]] | None = None,
        scheduler: LRSchedulerCallable | None = None,
        seed: int | None = None,
        eval_seed: int | None = None,
        save_carry: bool = True,
        grid_shape: tuple[int, int] | None = None,
        features: int = 0,
        targets: int = 0,
        eval_halting: Stopping | None = None,
        backbone: Backbone | None = None,
    ) -> None:
        super().__init__()
        check_evaluation(eval_cycles=eval_cycles, eval_segments=eval_segments)
        seed = seed_of(self, seed)
        sizes = Sizes(vocab_size, seq_len, width, prefix, num_tasks, grid_shape, features, targets)
        self.supervision = supervision or OneSegment()
        parts, limits = (refiner, truncation, halting, encoder, decoder), (cycles, max_segments, exploration)
        feedback, frozen = self.supervision.feedback(), frozen_parts(optimizer_groups)
        self.recursion = Recursion(sizes, *parts, *limits, seed, feedback, frozen, eval_halting, backbone)
        self.loss = loss or (MeanSquaredError() if targets else StablemaxCrossEntropy())
        with generators_kept():
            check_loss(self.loss, sizes, self.recursion.decoder.outputs(sizes))
        self.recursion.require(partial(self.supervision.check, loss=self.loss))
        within("RecursiveModule", "halting_weight", halting_weight, 0)
        self.halting_weight = halting_weight
        self._made = self.recursion.stated
        self.eval_cycles, self.eval_segments, self.eval_adaptive = eval_cycles, eval_segments, eval_adaptive
        self.eval_seed = seed if eval_seed is None else eval_seed
        self.optimizer, self.optimizer_groups, self.scheduler = optimizer, optimizer_groups, scheduler
        self.evaluation = Evaluation(eval_segments or max_segments, numbers=self.loss.numbers)
        self.run = Run(seed, save_carry)
        self.carries, self.progress = self.run.carries, self.run.progress

    @classmethod
    def for_data(cls, data: PuzzleData, **settings: Any) -> Self:
        """Make a model of the sizes of some data, as the command line does.

        Args:
            data: Tells vocabulary, length, number of tasks, shape of the grid, and which numbers there are.
            **settings: The other arguments of the constructor.

        Example:
            >>> from recurlight import EveryUpdate, FixedHalting, MixerCell, SingleRefiner, SudokuData
            >>> parts = {"refiner": SingleRefiner(MixerCell()), "halting": FixedHalting(), "width": 32}
            >>> model = RecursiveModule.for_data(SudokuData(size=4), truncation=EveryUpdate(), **parts)
            >>> model.recursion.sizes.tokens
            16
        """
        return cls(**{name: getattr(data, name) for name in FROM_DATA}, **settings)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Run what the supervision says and return its loss, the mean over slots."""
        micro = batch_idx % self.trainer.accumulate_grad_batches
        before = self._carry(micro, batch)
        number = self.trainer.fit_loop.total_batch_idx  # counts micro-batches, though accumulation may change
        turn = Turn(number, self.halting_weight, self.global_rank, self.trainer.world_size)
        learnt = self.supervision.step(self.recursion, before, batch, self.loss, turn)
        self.carries[micro] = learnt.carry
        self._log_progress(learnt, before, batch_idx)
        return learnt.loss

    def _carry(self, micro: int, batch: Batch) -> Carry:
        """Return the carry of this micro-batch, a new one at the start of training."""
        require_batch(batch, self.recursion.sizes, self)
        if micro not in self.carries:
            check_batch(batch, self.recursion.sizes, self._apart())
            self._check_names()
            self.carries.open(micro, self.supervision.start(self.recursion, batch))
        return self.carries.of(micro, batch, self.supervision.rows_per_slot())

    def _log_progress(self, learnt: Learnt, before: Carry, batch_idx: int) -> None:
        """Log loss, running exact accuracy and mean segments of finished samples, and samples taken."""
        self.progress.update(learnt.loss, before, learnt.carry, learnt.correct)
        self.log_dict(figures := self.progress.figures())
        self.log("samples", self.progress.samples.float())
        self.log_dict(self.recursion.truncation.diagnostics())
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # 0 for never
        due = (every and (batch_idx + 1) % every == 0) or self.trainer.is_last_batch
        if due and self.trainer.progress_bar_callback:  # `prog_bar=True` would wait for the device every step
            self.trainer.progress_bar_metrics.update({name: one.item() for name, one in figures.items()})

    def setup(self, stage: str) -> None:
        """Show the loggers how the model was made, and measure what the data's task measures.

        Raises:
            IncompatibleComponents: The model is not made for the data, see `fitting_data`.
        """
        super().setup(stage)
        data = fitting_data(self.trainer, self.recursion)
        self.evaluation.segments = self.eval_segments or self.recursion.max_segments
        self.evaluation.task = data.task_metric("test" if stage == "test" else "val") if data else None
        if stage == "fit":
            self.curricula = stated_callbacks(self.trainer)
            check_trainer(self.trainer, self.recursion.backbone)
            check_monitors(self.trainer, self.figures())

    def figures(self) -> set[str] | None:
        """Return the names of what training logs; None where a part of the user's own may log others."""
        if may_log_others(self.trainer, self, self.recursion.truncation, self.evaluation.task):
            return None
        measured = {f"val/{name}" for name in self.evaluation.figures()} if validates(self.trainer) else set()
        return {*self.progress.figures(), "samples", *solver_figures(self.trainer, self.recursion), *measured}

    def on_train_start(self) -> None:
        """Begin with slots that a loaded carry or fresh samples fill; what was validated before is stale.

        Raises:
            IncompatibleComponents: A callback waits for a figure that comes after the end.
        """
        check_monitors(self.trainer, self.figures())  # again, for the data have a length now
        self.run.carries.clear()  # here, not in `run`: Lightning's tuner trains without callbacks
        self.validated_step = None

    def on_train_epoch_end(self) -> None:
        """Let the truncation say what made its gradients wrong."""
        self.recursion.truncation.warn()

    def configure_callbacks(self) -> list[Callback]:
        """Bring the callback that keeps what a resumed run needs.

        Raises:
            IncompatibleComponents: The trainer has a callback that cannot train this model.
        """
        there: list[Callback] = getattr(self.trainer, "callbacks", [])
        if self.trainer.state.fn == "fit":
            require_companions(there, self)
        return [] if self.run in there else [self.run]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Make the optimizer, and a schedule that is stepped with it."""
        optimizer = add_tables(make_optimizer(self.optimizer, self, self.optimizer_groups), self)
        if self.scheduler is None:
            return optimizer
        scheduler = make_schedule(self.scheduler, optimizer, self)
        return {"optimizer": optimizer, "lr_scheduler": when_stepped(scheduler, self.figures)}

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """Drop gradients of rows as those of parameters are dropped."""
        forget_gradients(self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a damaged checkpoint, and one of another architecture.

        Raises:
            CheckpointError: The file is damaged.
            CheckpointMismatch: Listing keys that differ.
        """
        super().on_load_checkpoint(checkpoint)
        require_same_backbone(checkpoint, self.recursion.backbone)
        require_fitting(self, checkpoint, self.recursion.sizes)
        self.loaded, self.names = weights_of(checkpoint), names_in(checkpoint)
        if self._trainer is None or self.trainer.state.fn != "fit":  # which has its own
            self.curricula = curricula_in(checkpoint)

    def changed(self) -> dict[str, Any]:
        """Return what `Recursion.reconfigure` has changed since the model was made."""
        own = None if type(self) is RecursiveModule else type(self).__name__
        return changed_since(self._made, self.recursion, self.description.arguments, own)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write the backbone, what numbers of tasks and tokens stand for, and what changed with the step."""
        super().on_save_checkpoint(checkpoint)
        backbone = identity_of(self.recursion.backbone)
        checkpoint[STAMP] |= {"names": dict(self.names), "curricula": self.curricula, "backbone": backbone}

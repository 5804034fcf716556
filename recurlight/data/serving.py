"""The loaders of a data module: the endless stream of training, and every held-out puzzle once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, TypeVar

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from recurlight.data.loader import AdvancingSteps, RepeatedSteps, ResumableLoader, StepSampler
from recurlight.data.puzzles import Augmentation, Puzzles, Splits, Variants
from recurlight.data.stream import EvaluationBatches, Share, TrainingBatches
from recurlight.errors import DataError
from recurlight.types import Batch

__all__ = ["Serving"]

LoaderT = TypeVar("LoaderT", bound=DataLoader[Batch])

_MINIMUM_STEPS = 100


class Serving(LightningDataModule, ABC):
    """The half of `PuzzleData` that serves batches; the other half says what the puzzles are."""

    by_task: ClassVar[bool]
    batch_size: int
    eval_batch_size: int
    num_workers: int
    seed: int
    epoch_samples: int | None

    @property
    @abstractmethod
    def splits(self) -> Splits:
        """The puzzles."""

    @abstractmethod
    def augmentation(self) -> Augmentation | None:
        """Return the function that varies training puzzles."""

    @abstractmethod
    def variants(self, split: str) -> Variants | None:
        """Return the variants in which evaluation asks every puzzle."""

    def train_dataloader(self) -> ResumableLoader:
        """Return the loader of the endless stream, one epoch of it at a time.

        With the trainer's `overfit_batches` every epoch is the first.
        """
        share = self._share()
        if self.batch_size % share.world_size:
            fitting = -(-self.batch_size // share.world_size) * share.world_size
            raise DataError(
                f"batch_size {self.batch_size} is the global batch and cannot be divided over "
                f"{share.world_size} ranks: set data.batch_size to {fitting}"
            )
        count = len(self.splits.train.inputs)
        samples = self.epoch_samples or max(count, _MINIMUM_STEPS * self.batch_size)
        steps = -(-samples // self.batch_size)
        stream = TrainingBatches(
            self.splits.train,
            self.augmentation(),
            seed=self.seed,
            batch_size=self.batch_size,
            share=share,
            steps=steps,
            by_task=self.by_task,
        )
        trainer: Any = self.trainer
        overfit = trainer is not None and trainer.overfit_batches
        return self._loader(ResumableLoader, stream, (RepeatedSteps if overfit else AdvancingSteps)(steps))

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the validation puzzles."""
        return self._evaluation(self.splits.val, self.variants("val"))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the test puzzles."""
        return self._evaluation(self.splits.test, self.variants("test"))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the test puzzles."""
        return self._evaluation(self.splits.test, self.variants("test"))

    def _evaluation(self, puzzles: Puzzles, variants: Variants | None) -> DataLoader[Batch]:
        size = self.eval_batch_size
        batches = EvaluationBatches(puzzles, batch_size=size, share=self._share(), variants=variants)
        return self._loader(DataLoader, batches, RepeatedSteps(len(batches)))

    def _share(self) -> Share:
        """This process's part: that of the trainer, or everything when there is none."""
        return Share(self.trainer.global_rank, self.trainer.world_size) if self.trainer else Share()

    def _loader(self, kind: type[LoaderT], batches: Dataset[Batch], steps: StepSampler) -> LoaderT:
        return kind(
            batches,
            batch_size=None,
            sampler=steps,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else every epoch takes a number from the global random state
        )

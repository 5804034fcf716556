"""ARC submissions."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from recurlight.data.arc.data import ArcData
from recurlight.data.arc.votes import ArcVotes
from recurlight.errors import IncompatibleComponents
from recurlight.spec.given import checked
from recurlight.training.attached import attached_data
from recurlight.training.results import tell

__all__ = ["SubmissionWriter"]


class SubmissionWriter(Callback):
    """Lets the predictions of `recurlight predict` on `ArcData` vote and writes two attempts for each pair.

    The answers need not be known. Predictions of thousands of variants are many: only the votes are kept.

    Args:
        folder: Where `submission.json`, in Kaggle's format, and `tasks.csv` are written; older ones are
            replaced. None for the data's `report`, or the current folder where that is None too.

    Raises:
        IncompatibleComponents: On prediction with other data.

    Example:
        >>> SubmissionWriter("out").folder
        'out'
    """

    @checked
    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self.votes: ArcVotes | None = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with no votes."""
        data = attached_data(trainer)
        if not isinstance(data, ArcData):
            raise IncompatibleComponents(
                f"SubmissionWriter counts votes on ArcData, not {type(data).__name__}: use PredictionWriter"
            )
        self.votes = data.task_metric("predict")
        self.votes.folder = self.folder or data.report or "."

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take in the votes of one batch."""
        assert self.votes is not None
        self.votes.update(batch, outputs, int(outputs.segments.max()))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count on every rank, write and say where on the first."""
        assert self.votes is not None
        text = self.votes.table()
        if trainer.is_global_zero:
            tell(text)

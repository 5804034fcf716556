"""Pictures of a few samples while a model learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info

from recurlight.errors import IncompatibleComponents
from recurlight.rendering.samples import samples
from recurlight.rendering.sheet import pixels, require_matplotlib, sheet
from recurlight.spec.given import checked
from recurlight.training.attached import attached_data
from recurlight.types import Batch

__all__ = ["SamplePictures"]


class SamplePictures(Callback):
    """Draws the first samples of every validation and test: question, prediction, answer, errors in red.

    The picture goes to TensorBoard, as `val/samples` or `test/samples`, and as a PNG file to the folder
    `pictures` of the run. It always shows the same samples, and costs their evaluation once more. Needs the
    extra `viz`. For text in the terminal, which needs nothing, see `PredictionWriter`.

    On the command line: `--trainer.callbacks+=SamplePictures`.

    Args:
        count: Samples to draw, at least 1.
        folder: Folder of the files; None for `pictures` in the run's folder, or in the current one where
            nothing is logged.

    Raises:
        IncompatibleComponents: There is nothing to draw.
        RecurlightError: matplotlib is not installed.

    Example:
        >>> SamplePictures(count=2).count
        2
    """

    @checked
    def __init__(self, count: int = 3, folder: str | None = None) -> None:
        super().__init__()
        if count < 1:
            raise IncompatibleComponents(f"SamplePictures got count={count}: give 1 or more")
        require_matplotlib("SamplePictures")
        self.count = count
        self.folder = folder
        self.target = Path()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder, on every rank together."""
        self.target = Path(self.folder or Path(trainer.log_dir or "") / "pictures")
        if not attached_data(trainer):
            raise IncompatibleComponents(
                "SamplePictures asks the data how samples look: give the trainer a PuzzleData as datamodule"
            )

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch."""
        if batch_idx == 0 and not trainer.sanity_checking:
            self._draw(trainer, pl_module, batch, "val")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first batch."""
        if batch_idx == 0:
            self._draw(trainer, pl_module, batch, "test")

    def _draw(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, stage: str) -> None:
        """Answer the first samples once more, and write their picture."""
        if not trainer.is_global_zero:
            return
        first = Batch(*(field[: self.count] for field in batch))
        with trainer.precision_plugin.forward_context():
            shown = samples(first, pl_module(first), self.count, attached_data(trainer))
        if not shown:  # this rank got nothing but padding
            return
        data = attached_data(trainer)
        assert data is not None
        figure = sheet(data, shown)
        step = trainer.global_step
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"{stage}/samples", pixels(figure), step, dataformats="HWC")
        self.target.mkdir(parents=True, exist_ok=True)
        path = self.target / f"{stage}_{step:06}.png"
        figure.savefig(path)
        if trainer.state.fn != "fit":
            rank_zero_info(f"samples: {path}")
